// docs/emulator.md shows parts of examples/transpose.cu and what it prints: both must be what they are today.
#include <gtest/gtest.h>

#include <array>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

namespace {

std::string read_file(const char* path) {
  std::ostringstream text;
  text << std::ifstream(path).rdbuf();
  return text.str();
}

std::string output_of(const std::string& command) {
  std::string output;
  std::FILE* pipe = popen((command + " 2>&1").c_str(), "r");
  std::array<char, 4096> buffer;
  size_t count;
  while ((count = fread(buffer.data(), 1, buffer.size(), pipe)) > 0) output.append(buffer.data(), count);
  pclose(pipe);
  return output;
}

// The fenced blocks of this language in the document.
std::vector<std::string> blocks(const std::string& document, const std::string& language) {
  std::vector<std::string> found;
  const std::string begin = "```" + language + "\n";
  for (size_t at = document.find(begin); at != std::string::npos; at = document.find(begin, at)) {
    at += begin.size();
    found.push_back(document.substr(at, document.find("```", at) - at));
  }
  return found;
}

TEST(EmulatorExample, CodeInTheDocumentIsTheProgram) {
  const std::string source = read_file(EXAMPLE_SOURCE);
  const std::vector<std::string> shown = blocks(read_file(EXAMPLE_DOCUMENT), "cuda");
  EXPECT_GE(shown.size(), 3u);
  for (const std::string& code : shown) EXPECT_NE(source.find(code), std::string::npos) << code;
}

TEST(EmulatorExample, OutputInTheDocumentIsTheProgramsOutput) {
  int versions = 0;
  for (const std::string& block : blocks(read_file(EXAMPLE_DOCUMENT), "console")) {
    std::istringstream lines(block);
    std::string line;
    std::getline(lines, line);
    const size_t program = line.find("./transpose ");
    ASSERT_NE(program, std::string::npos) << line;
    if (line.find("--stats") != std::string::npos) setenv("VIGOR_EMULATOR_STATS", "-", 1);
    std::string output = output_of(std::string(EXAMPLE) + line.substr(program + std::string("./transpose").size()));
    unsetenv("VIGOR_EMULATOR_STATS");
    // The program was compiled by its full path; the document's in its own folder.
    const std::string folder = std::string(EXAMPLE_SOURCE).substr(0, std::string(EXAMPLE_SOURCE).rfind('/') + 1);
    for (size_t at; (at = output.find(folder)) != std::string::npos;) output.erase(at, folder.size());
    while (std::getline(lines, line))
      EXPECT_NE(output.find(line + "\n"), std::string::npos) << line << "\nin\n" << output;
    ++versions;
  }
  EXPECT_EQ(versions, 5);
}

}  // namespace
