// Documents from text files, JSON lines, folders and the embedded stories, and what is said about bad ones.
#include "train/data/documents.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <functional>

#include "tensor/file.h"
#include "train/data/line_reader.h"

namespace vigor {
namespace {

namespace fs = std::filesystem;
using Strings = std::vector<std::string>;

class Documents : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = fs::path(testing::TempDir()) / "vigor_documents_test";
    fs::remove_all(folder_);
    fs::create_directories(folder_);
  }
  void TearDown() override { fs::remove_all(folder_); }

  std::string put(const std::string& name, const std::string& content) {
    fs::create_directories((folder_ / name).parent_path());
    write_file(folder_ / name, content);
    return (folder_ / name).string();
  }
  static Strings read(const std::string& path) {
    const auto reader = open_documents({path, std::nullopt});
    Strings texts;
    for (Document document; reader->next(document);) texts.push_back(document.text);
    return texts;
  }
  Strings read_new(const std::string& name, const std::string& content) { return read(put(name, content)); }

  static std::string error_of(const std::function<void()>& call) {
    try {
      call();
    } catch (const std::invalid_argument& error) {
      EXPECT_EQ(std::string(error.what()).find('\n'), std::string::npos);
      return error.what();
    }
    return "no error";
  }
  void expect_error(const std::string& name, const std::string& content, const std::string& part) {
    const std::string message = error_of([&] { read_new(name, content); });
    EXPECT_NE(message.find(part), std::string::npos) << message;
    EXPECT_NE(message.find(name), std::string::npos) << message;
  }

  fs::path folder_;
};

TEST_F(Documents, TextIsCutAtMarks) {
  EXPECT_EQ(read_new("a.txt", "one\n\nstill one\n<|endoftext|>\n\ntwo\n<|endoftext|>\n<|endoftext|>\n"),
            (Strings{"one\n\nstill one", "two"}));
  EXPECT_EQ(read_new("b.txt", "one\r\n<|endoftext|>\r\ntwo <|endoftext|>\r\nx"),
            (Strings{"one", "two <|endoftext|>\nx"}));
}

TEST_F(Documents, TextWithoutMarksIsCutAtBlankLines) {
  EXPECT_EQ(read_new("a.txt", "\n\none\nline\n \t\n\ntwo"), (Strings{"one\nline", "two"}));
  EXPECT_EQ(read_new("b.txt", "\xEF\xBB\xBFone\r\n\r\ntwo\r\n"), (Strings{"one", "two"}));
  EXPECT_EQ(read_new("c.txt", "no line end"), (Strings{"no line end"}));
  EXPECT_EQ(read_new("d.txt", "not UTF-8: \xff\n"), (Strings{"not UTF-8: \xff"}));
}

TEST_F(Documents, LongTextComesInPieces) {
  const std::string long_line(kMaxDocumentBytes + 100, 'x');
  const Strings texts = read_new("long.txt", "before\n\n" + long_line + "\nend\n\nafter\n");
  ASSERT_EQ(texts.size(), 4u);
  EXPECT_EQ(texts[0], "before");
  EXPECT_EQ(texts[1].size(), kMaxDocumentBytes);
  EXPECT_EQ(texts[2], std::string(100, 'x') + "\nend");
  EXPECT_EQ(texts[3], "after");
}

TEST_F(Documents, JsonLines) {
  EXPECT_EQ(read_new("a.jsonl",
                     "{\"text\": \"caf\\u00e9 \\\"x\\\"\\n\", \"id\": [1, {\"text\": \"inner\"}]}\n\n{\"text\": \"\"}\n"
                     "{\"meta\": {\"text\": 3}, \"text\": \"two \xff\"}\r\n"),
            (Strings{"caf\u00e9 \"x\"\n", "two \uFFFD"}));
  expect_error("b.jsonl", "{\"text\": \"a\"}\n{\"text\": \n", "b.jsonl:2: not valid JSON");
  expect_error("c.jsonl", "\n{\"texts\": \"a\"}\n", "c.jsonl:2: the object has no key \"text\"");
  expect_error("d.jsonl", "{\"text\": 5}", "d.jsonl:1: \"text\" must be a string; got a number");
  expect_error("e.jsonl", "{\"text\": {\"a\": 1}}", "must be a string; got an object");
  expect_error("f.jsonl", "[\"text\"]", "must be an object with a \"text\"; got an array");
  expect_error("g.jsonl", "{\"text\": \"a\"} {\"text\": \"b\"}", "not valid JSON");
  expect_error("h.jsonl", std::string(200000, '['), "got an array");
  expect_error("i.jsonl", "{\"a\": " + std::string(200000, '['), "not valid JSON");
  expect_error("j.jsonl", "{\"text\": \"" + std::string(kMaxDocumentBytes, 'x') + "\"}",
               "j.jsonl:1: a line has at most 16 MiB");
}

TEST_F(Documents, FoldersAreReadInOrder) {
  put("data/b.txt", "b1\n\nb2");
  put("data/a/z.jsonl", "{\"text\": \"z\"}");
  put("data/c.md", "ignored");
  put("data/d.txt", "");
  EXPECT_EQ(read((folder_ / "data").string()), (Strings{"z", "b1", "b2"}));
}

TEST_F(Documents, BadSources) {
  EXPECT_NE(error_of([&] { read((folder_ / "none.txt").string()); }).find("none.txt does not exist"),
            std::string::npos);
  EXPECT_NE(error_of([&] { read("/dev/null"); }).find("must be a regular file or a folder"), std::string::npos);
  fs::create_directories(folder_ / "empty");
  EXPECT_NE(error_of([&] { read((folder_ / "empty").string()); }).find("it has none"), std::string::npos);
  expect_error("a.txt", "", "has no text");
  expect_error("b.txt", " \n\n<|endoftext|>\n", "has no text");
  expect_error("c.jsonl", "{\"text\": \" \"}\n", "has no text");
  expect_error("d.parquet", "PAR1", "must be .txt or .jsonl");
  expect_error("e.txt",
               "\xFF\xFE"
               "a",
               "is UTF-16");
}

TEST_F(Documents, SourcesAndWeights) {
  const auto source = [](const char* text) {
    const DataSource parsed = parse_data_source(text);
    return std::pair(parsed.path, parsed.weight);
  };
  using Parsed = std::pair<std::string, std::optional<double>>;
  EXPECT_EQ(source("a.txt:0.6"), Parsed("a.txt", 0.6));
  EXPECT_EQ(source("a.txt"), Parsed("a.txt", std::nullopt));
  EXPECT_EQ(source("s3:bucket/a.txt"), Parsed("s3:bucket/a.txt", std::nullopt));
  EXPECT_EQ(source("C:a.txt:2"), Parsed("C:a.txt", 2.0));
  EXPECT_EQ(source("embedded:1e-1"), Parsed("embedded", 0.1));
  const std::string odd = put("odd:0.5", "x");
  EXPECT_EQ(source(odd.c_str()), Parsed(odd, std::nullopt));
  EXPECT_EQ(source((odd + ":0.5").c_str()), Parsed(odd, 0.5));
  for (const char* bad : {"a.txt:0", "a.txt:-1", "a.txt:inf", "a.txt:nan", "a.txt:1e999"}) {
    EXPECT_NE(error_of([&] { parse_data_source(bad); }).find("must be above 0"), std::string::npos) << bad;
  }
  EXPECT_NE(error_of([&] { parse_data_source(":1"); }).find("a path is needed"), std::string::npos);
  EXPECT_EQ(parse_data_sources({}).at(0).path, kEmbeddedData);
  EXPECT_EQ(parse_data_sources({"a.txt:1", "b.txt:2"}).size(), 2u);
  EXPECT_NE(error_of([&] {
              parse_data_sources({"a.txt:1", "b.txt"});
            }).find("to every source or to none"),
            std::string::npos);
}

TEST_F(Documents, OneInAHundredIsHeldOutByItsText) {
  std::string text;
  for (int i = 0; i < 20000; ++i) text += "document " + std::to_string(i) + "\n\n";
  const auto held_out = [&](const std::string& content) {
    const auto reader = open_documents({put("many.txt", content), std::nullopt});
    Strings texts;
    for (Document document; reader->next(document);) {
      if (document.held_out) texts.push_back(document.text);
    }
    return texts;
  };
  const Strings first = held_out(text);
  EXPECT_GT(first.size(), 140u);
  EXPECT_LT(first.size(), 260u);
  EXPECT_EQ(held_out("new first document\n\n" + text), first);  // no document depends on its neighbours
}

TEST_F(Documents, EmbeddedStoriesComeInPairsOfPieces) {
  const auto reader = open_documents({std::string(kEmbeddedData), std::nullopt});
  Document first, second;
  for (int i = 0; i < 500; ++i) {
    ASSERT_TRUE(reader->next(first) && reader->next(second));
    EXPECT_TRUE(second.text.ends_with("\n\n"));
    EXPECT_EQ(first.held_out, second.held_out);
  }
}

TEST_F(Documents, SourceHashFollowsTheContent) {
  const auto hash = [&](const std::string& name, const std::string& content) {
    return source_hash({put(name, content), {}});
  };
  EXPECT_EQ(hash("a.txt", "one"), hash("b.txt", "one"));
  EXPECT_NE(hash("a.txt", "one"), hash("a.txt", "two"));
  EXPECT_NE(hash("a.txt", "one"), hash("a.jsonl", "one"));
  put("f/a.txt", "ab");
  put("f/b.txt", "c");
  const uint64_t first = source_hash({(folder_ / "f").string(), {}});
  put("f/a.txt", "a");
  put("f/b.txt", "bc");
  EXPECT_NE(source_hash({(folder_ / "f").string(), {}}), first);
}

TEST_F(Documents, LinesOfAnyLength) {
  LineReader lines(put("l.txt", "ab\n\u00e9\u00e9\u00e9\r\n\nlast"));
  std::string_view line;
  bool complete = false;
  Strings parts;
  std::vector<int64_t> numbers;
  while (lines.next(line, complete, 4)) {
    parts.push_back(std::string(line) + (complete ? "" : "+"));
    numbers.push_back(lines.line_number());
  }
  EXPECT_EQ(parts, (Strings{"ab", "\u00e9\u00e9+", "\u00e9", "", "last"}));
  EXPECT_EQ(numbers, (std::vector<int64_t>{1, 2, 2, 3, 4}));
}

}  // namespace
}  // namespace vigor
