#pragma once
// TensorBoard event files: `tensorboard --logdir FOLDER` draws the curves while the run goes on.
// A file is a sequence of records  length (8 bytes) | masked CRC of length | data | masked CRC of data,  where data is
// an `Event` in protocol buffer encoding (tensorflow/core/util/event.proto, framework/summary.proto).
#include <cstdint>
#include <filesystem>
#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>

namespace vigor {

class TensorBoardLog {
 public:
  // Starts a new events.out.tfevents.* file in `folder`, which is created. When a run is resumed after `from_step`,
  // TensorBoard is told to forget what an earlier file says about later steps. Each call below writes one record at
  // once, so a killed run loses at most an unfinished last one. std::runtime_error when the disk refuses.
  explicit TensorBoardLog(const std::filesystem::path& folder, int64_t from_step = 0);
  ~TensorBoardLog();
  TensorBoardLog(const TensorBoardLog&) = delete;
  TensorBoardLog& operator=(const TensorBoardLog&) = delete;

  // TensorBoard groups curves by the part of the tag before a slash: "loss/train", "loss/eval".
  void scalars(int64_t step, std::initializer_list<std::pair<std::string_view, double>> values);
  void text(int64_t step, std::string_view tag, std::string_view markdown);  // UTF-8

  const std::filesystem::path& path() const { return path_; }

 private:
  void write_event(int64_t step, std::string_view what);

  std::filesystem::path path_;
  int descriptor_ = -1;
};

uint32_t crc32c(std::string_view bytes);  // Castagnoli

}  // namespace vigor
