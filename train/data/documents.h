#pragma once
// Training text as a stream of documents, one in memory at a time.
//
// Sources: a .txt file, a .jsonl file (one JSON object a line, its "text"), a folder (every .txt and .jsonl below it,
// in the order of their paths), or the embedded stories. docs/data.md has the details.
//
// Errors, one line each: std::invalid_argument for what the user can mend in the call or the data (missing path,
// unknown kind of file, no text, a bad line with file and line number), std::runtime_error when the system fails to
// read.
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace vigor {

inline constexpr std::string_view kEmbeddedData = "embedded";
inline constexpr uint64_t kEmbeddedStories = 30000;  // about 11 MB of text
inline constexpr size_t kMaxDocumentBytes = size_t{16} << 20;

struct DataSource {
  std::string path;              // or kEmbeddedData
  std::optional<double> weight;  // share of the training rows, relative to the other sources; none: by size
};

// "PATH" or "PATH:WEIGHT". Only a number after the last colon is a weight, and not even that if the whole text is the
// name of something that exists, so paths may have colons.
DataSource parse_data_source(std::string_view text);

// All --data options; none gives the embedded stories. Either every source has a weight or none has.
std::vector<DataSource> parse_data_sources(const std::vector<std::string>& texts);

struct Document {
  std::string text;       // bytes as in the file; not checked to be UTF-8
  bool held_out = false;  // one in a hundred, by a hash of the text
};

class DocumentReader {
 public:
  virtual ~DocumentReader() = default;
  virtual bool next(Document& document) = 0;  // false after the last one
};

// Opens a source. A file or folder without any document is an error that next() reports at the end.
std::unique_ptr<DocumentReader> open_documents(const DataSource& source);

// A hash of all that the documents of a source depend on: equal hashes, equal documents.
uint64_t source_hash(const DataSource& source);

}  // namespace vigor
