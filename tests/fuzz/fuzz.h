#pragma once
// A fuzz target is a file tests/fuzz/<loader>_fuzz.cpp that defines fuzz_one, with seeds in tests/fuzz/seeds/<loader>/:
//
//   void vigor::fuzz_one(std::string_view input, const std::filesystem::path& folder) {
//     const auto path = put_file(folder / "config.json", input);
//     load_or_refuse([&] { read_config(path); });
//   }
//
// CMake finds it. With VIGOR_BUILD_FUZZ it becomes a libFuzzer program (scripts/fuzz runs them), otherwise a ctest
// entry that replays the seeds and some thousand mutations of them.
#include <filesystem>
#include <stdexcept>
#include <string_view>

namespace vigor {

// One input. `folder` is empty to begin with and the same for all inputs of a process, in memory where possible.
// Whatever is left in it stays for the next input: overwrite, do not collect.
void fuzz_one(std::string_view input, const std::filesystem::path& folder);

// Writes the file without the care of AtomicFile; returns `path`.
const std::filesystem::path& put_file(const std::filesystem::path& path, std::string_view content);

// A loader may succeed or throw what check.h promises. Any other exception, std::bad_alloc above all, is a failure.
template <class Load>
void load_or_refuse(Load&& load) {
  try {
    load();
  } catch (const std::invalid_argument&) {
  } catch (const std::runtime_error&) {
  }
}

}  // namespace vigor
