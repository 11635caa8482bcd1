// The code that the tutorials show is the code in the tree: every fenced block that follows a line with a file's name
// (or follows such a block) must be found in that file, apart from indentation.
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include "gtest/gtest.h"

namespace {

std::string read_text(const std::filesystem::path& path) {
  std::ifstream file(path);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

std::string trimmed(const std::string& line) {
  const size_t begin = line.find_first_not_of(" \t");
  const size_t end = line.find_last_not_of(" \t\r");
  return begin == std::string::npos ? "" : line.substr(begin, end - begin + 1);
}

// The lines without indentation, joined; empty lines are left out.
std::string without_indentation(const std::string& text) {
  std::istringstream lines(text);
  std::string line, out;
  while (std::getline(lines, line))
    if (const std::string rest = trimmed(line); !rest.empty()) out += rest + '\n';
  return out;
}

struct Snippet {
  std::string file, code;
};

std::vector<Snippet> snippets_of(const std::string& markdown) {
  std::vector<Snippet> found;
  std::istringstream lines(markdown);
  std::string line, file;
  while (std::getline(lines, line)) {
    const std::string text = trimmed(line);
    if (text.size() > 3 && text.front() == '`' && text.substr(text.size() - 2) == "`:")
      file = text.substr(1, text.size() - 3);  // `path/to/file`:
    if (text.rfind("```", 0) != 0) continue;
    std::string code;
    while (std::getline(lines, line) && trimmed(line) != "```") code += line + '\n';
    if (!file.empty()) found.push_back({file, code});
  }
  return found;
}

TEST(Tutorials, ShowTheCodeThatIsInTheTree) {
  const std::filesystem::path root = VIGOR_SOURCE_DIR;
  const std::vector<Snippet> snippets = snippets_of(read_text(root / "docs/add-an-operation.md"));
  EXPECT_GE(snippets.size(), 12u);
  for (const Snippet& snippet : snippets) {
    SCOPED_TRACE(snippet.file + ":\n" + snippet.code);
    const std::string source = read_text(root / snippet.file);
    EXPECT_FALSE(source.empty()) << "there is no such file";
    EXPECT_NE(without_indentation(source).find(without_indentation(snippet.code)), std::string::npos);
  }
}

}  // namespace
