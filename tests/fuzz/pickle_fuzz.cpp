#include <zip.h>

#include "models/hf/pickle_checkpoint.h"
#include "tests/fuzz/fuzz.h"

namespace {

// The input as the data.pkl of a good archive: a mutation of the archive itself would fail its checksum.
void write_archive(const std::filesystem::path& path, std::string_view pickle, std::string_view storage) {
  zip_t* archive = zip_open(path.c_str(), ZIP_CREATE | ZIP_TRUNCATE, nullptr);
  for (const auto& record : {std::pair("a/data.pkl", pickle), std::pair("a/data/0", storage)}) {
    zip_source_t* source = zip_source_buffer(archive, record.second.data(), record.second.size(), 0);
    const zip_int64_t index = zip_file_add(archive, record.first, source, 0);
    zip_set_file_compression(archive, static_cast<zip_uint64_t>(index), ZIP_CM_STORE, 0);
  }
  if (zip_close(archive) != 0) std::abort();
}

}  // namespace

void vigor::fuzz_one(std::string_view input, const std::filesystem::path& folder) {
  const auto path = folder / "pytorch_model.bin";
  write_archive(path, input, std::string(24, '\x3f'));
  load_or_refuse([&] {
    const PickleCheckpoint checkpoint(path);
    for (const auto& entry : checkpoint.entries()) load_or_refuse([&] { clone(checkpoint.tensor(entry.name)); });
  });
}
