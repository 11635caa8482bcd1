#include "train/metrics/tensorboard.h"

#include <gtest/gtest.h>

#include <cstring>
#include <filesystem>
#include <map>
#include <stdexcept>
#include <vector>

#include "tensor/file.h"
#include "tests/support/temporary_folder.h"

namespace vigor {
namespace {

namespace fs = std::filesystem;

// A protocol buffer message taken apart: the raw values by field number.
class Message {
 public:
  explicit Message(std::string_view bytes) {
    while (!bytes.empty()) {
      const uint64_t key = varint(bytes);
      size_t length = 0;
      switch (key & 7) {
        case 0:
          integers_[key >> 3].push_back(varint(bytes));
          continue;
        case 1:
          length = 8;
          break;
        case 2:
          length = varint(bytes);
          break;
        case 5:
          length = 4;
          break;
        default:
          ADD_FAILURE() << "wire type " << (key & 7);
          return;
      }
      if (length > bytes.size()) throw std::runtime_error("a field is longer than its message");
      fields_[key >> 3].emplace_back(bytes.substr(0, length));
      bytes.remove_prefix(length);
    }
  }
  uint64_t integer(uint64_t number) const { return integers_.at(number).at(0); }
  const std::vector<std::string>& bytes(uint64_t number) const { return fields_.at(number); }
  Message message(uint64_t number) const { return Message(bytes(number).at(0)); }
  template <class T>
  T fixed(uint64_t number) const {
    T value;
    EXPECT_EQ(bytes(number).at(0).size(), sizeof value);
    std::memcpy(&value, bytes(number)[0].data(), sizeof value);
    return value;
  }
  bool has(uint64_t number) const { return fields_.count(number) + integers_.count(number) > 0; }

 private:
  static uint64_t varint(std::string_view& bytes) {
    uint64_t value = 0;
    for (int shift = 0;; shift += 7) {
      const auto byte = static_cast<unsigned char>(bytes.at(0));
      bytes.remove_prefix(1);
      value |= uint64_t{byte & 0x7fu} << shift;
      if (byte < 0x80) return value;
    }
  }
  std::map<uint64_t, std::vector<std::string>> fields_;
  std::map<uint64_t, std::vector<uint64_t>> integers_;
};

uint32_t masked(std::string_view bytes) {
  const uint32_t crc = crc32c(bytes);
  return ((crc >> 15) | (crc << 17)) + 0xa282ead8u;
}

std::vector<Message> events_of(const fs::path& path) {
  const std::string file = read_text(path, 1 << 20);
  std::vector<Message> events;
  for (size_t at = 0; at < file.size();) {
    uint64_t length = 0;
    uint32_t crc = 0;
    std::memcpy(&length, file.data() + at, 8);
    std::memcpy(&crc, file.data() + at + 8, 4);
    EXPECT_EQ(crc, masked(file.substr(at, 8)));
    const std::string data = file.substr(at + 12, length);
    std::memcpy(&crc, file.data() + at + 12 + length, 4);
    EXPECT_EQ(crc, masked(data));
    events.emplace_back(data);
    at += 16 + length;
  }
  return events;
}

class TensorBoardTest : public ::testing::Test {
 protected:
  const vigor::testing::TemporaryFolder temporary_;
  const fs::path folder_ = temporary_.path();
};

TEST(Crc32c, KnownValues) {  // RFC 3720, appendix B.4
  EXPECT_EQ(crc32c(""), 0u);
  EXPECT_EQ(crc32c("123456789"), 0xe3069283u);
  EXPECT_EQ(crc32c(std::string(32, '\0')), 0x8a9136aau);
  EXPECT_EQ(crc32c(std::string(32, '\xff')), 0x62a8ab43u);
}

TEST_F(TensorBoardTest, ScalarsAndTextComeBack) {
  TensorBoardLog log(folder_ / "run");
  EXPECT_NE(log.path().filename().string().find("tfevents"), std::string::npos);
  log.scalars(300, {{"loss/train", 2.5}, {"lr", 3e-4}});
  log.text(301, "samples", "once upon a time");
  const std::vector<Message> events = events_of(log.path());
  ASSERT_EQ(events.size(), 3u);
  EXPECT_EQ(events[0].bytes(3)[0], "brain.Event:2");
  EXPECT_GT(events[0].fixed<double>(1), 1.7e9);

  EXPECT_EQ(events[1].integer(2), 300u);
  const std::vector<std::string> values = events[1].message(5).bytes(1);
  ASSERT_EQ(values.size(), 2u);
  EXPECT_EQ(Message(values[0]).bytes(1)[0], "loss/train");
  EXPECT_EQ(Message(values[0]).fixed<float>(2), 2.5f);
  EXPECT_EQ(Message(values[1]).bytes(1)[0], "lr");
  EXPECT_EQ(Message(values[1]).fixed<float>(2), 3e-4f);

  EXPECT_EQ(events[2].integer(2), 301u);
  const Message value = events[2].message(5).message(1);
  EXPECT_EQ(value.bytes(1)[0], "samples");
  EXPECT_EQ(value.message(8).bytes(8)[0], "once upon a time");
  EXPECT_EQ(value.message(9).message(1).bytes(1)[0], "text");
}

TEST_F(TensorBoardTest, AResumedRunStartsASessionInAFileOfItsOwn) {
  const TensorBoardLog first(folder_);
  const TensorBoardLog second(folder_, 500);
  EXPECT_NE(first.path(), second.path());
  EXPECT_EQ(events_of(first.path()).size(), 1u);
  const std::vector<Message> events = events_of(second.path());
  ASSERT_EQ(events.size(), 2u);
  EXPECT_EQ(events[1].integer(2), 501u);
  EXPECT_EQ(events[1].message(7).integer(1), 1u);  // SessionLog.START
}

TEST_F(TensorBoardTest, RecordsAreOnDiskAtOnce) {
  TensorBoardLog log(folder_);
  for (int step = 1; step <= 5; ++step) {
    log.scalars(step, {{"loss", 1.0}});
    EXPECT_EQ(events_of(log.path()).size(), static_cast<size_t>(step) + 1);
  }
}

TEST_F(TensorBoardTest, AFolderThatCannotBeMadeIsAnError) {
  write_file(folder_ / "file", "");
  EXPECT_THROW(TensorBoardLog(folder_ / "file" / "run"), std::runtime_error);
}

}  // namespace
}  // namespace vigor
