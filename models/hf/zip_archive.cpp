#include "models/hf/zip_archive.h"

#include <zip.h>

#include "tensor/check.h"

namespace vigor {
namespace {

zip_t* open_zip(std::span<const std::byte> bytes, const std::string& where) {
  const std::string_view text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  check(text.starts_with("PK\x03\x04"), "{}: not a zip file", where);
  zip_error_t error;
  zip_error_init(&error);
  zip_source_t* source = zip_source_buffer_create(bytes.data(), bytes.size(), 0, &error);
  zip_t* archive = source == nullptr ? nullptr : zip_open_from_source(source, ZIP_RDONLY, &error);
  const std::string reason = zip_error_strerror(&error);
  zip_error_fini(&error);
  if (archive == nullptr) {
    if (source != nullptr) zip_source_free(source);
    fail("{}: the zip file is damaged or cut off ({})", where, reason);
  }
  return archive;
}

}  // namespace

ZipArchive::ZipArchive(const std::filesystem::path& path)
    : where_(path.string()), file_(MappedFile::open(path)), zip_(open_zip(file_->bytes(), where_), &zip_discard) {
  uint64_t bytes_left = file_->bytes().size();
  const auto count = static_cast<uint64_t>(zip_get_num_entries(zip_.get(), 0));
  for (uint64_t index = 0; index < count; ++index) {
    constexpr zip_uint64_t kNeeded =
        ZIP_STAT_NAME | ZIP_STAT_SIZE | ZIP_STAT_COMP_SIZE | ZIP_STAT_COMP_METHOD | ZIP_STAT_ENCRYPTION_METHOD;
    zip_stat_t status;
    check(zip_stat_index(zip_.get(), index, 0, &status) == 0 && (status.valid & kNeeded) == kNeeded,
          "{}: entry {} of the zip file is damaged", where_, index);
    const std::string name = printable(status.name);
    check(status.comp_method == ZIP_CM_STORE && status.encryption_method == ZIP_EM_NONE &&
              status.comp_size == status.size,
          "{}: {} is compressed or encrypted; PyTorch stores entries as they are", where_, name);
    check(status.size <= bytes_left, "{}: the entries claim more bytes than the file has", where_);
    bytes_left -= status.size;
    check(entries_.emplace(status.name, Entry{index, status.size}).second, "{}: two entries are called {}", where_,
          name);
  }
}

const ZipArchive::Entry* ZipArchive::find(std::string_view name) const {
  const auto entry = entries_.find(name);
  return entry == entries_.end() ? nullptr : &entry->second;
}

void ZipArchive::read(const Entry& entry, std::span<std::byte> target) const {
  check(target.size() == entry.nbytes, "zip: {} bytes were asked for; the entry has {}", target.size(), entry.nbytes);
  const std::unique_ptr<zip_file_t, int (*)(zip_file_t*)> file(zip_fopen_index(zip_.get(), entry.index, 0),
                                                               &zip_fclose);
  check(file != nullptr, "{}: an entry of the zip file cannot be read ({})", where_, zip_strerror(zip_.get()));
  zip_int64_t count = static_cast<zip_int64_t>(target.size());
  if (count > 0) count = zip_fread(file.get(), target.data(), target.size());
  std::byte beyond;
  // The checksum is compared when the end is reached, so one more byte is asked for.
  const bool complete = count == static_cast<zip_int64_t>(target.size()) && zip_fread(file.get(), &beyond, 1) == 0;
  if (!complete) {
    const std::string reason = zip_error_strerror(zip_file_get_error(file.get()));
    fail("{}: an entry of the zip file is damaged ({})", where_, reason);
  }
}

}  // namespace vigor
