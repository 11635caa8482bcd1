// vigor emulate: runs any program that nvcc built on the emulated device.
#include <fmt/core.h>

#include <CLI/CLI.hpp>
#include <cstdlib>
#include <filesystem>
#include <memory>

#ifdef VIGOR_WITH_CUDA
#include "kernels/emulator/program_check.h"
#endif
#include "train/commands/common.h"
#include "train/device_choice.h"

namespace vigor {
namespace {

namespace fs = std::filesystem;

struct EmulateCall {
  std::vector<std::string> command;  // the program and its arguments
  std::string check = "full";
  std::string stats;
  bool wants_stats = false;
  bool leaks = false;
  int64_t warp_order = -1;  // the fixed order
  int64_t threads = 0;
  int64_t shared_kb = 99;
};

// As a shell finds it: a path, or a name on PATH.
fs::path find_program(const std::string& name) {
  if (name.find('/') != std::string::npos) return name;
  const char* path = std::getenv("PATH");
  for (std::string_view rest = path != nullptr ? path : ""; !rest.empty();) {
    const std::string_view folder = rest.substr(0, rest.find(':'));
    rest.remove_prefix(std::min(rest.size(), folder.size() + 1));
    if (fs::is_regular_file(fs::path(folder) / name)) return fs::path(folder) / name;
  }
  return name;
}

void require_runnable([[maybe_unused]] const fs::path& program, [[maybe_unused]] const fs::path& libraries) {
#ifdef VIGOR_WITH_CUDA
  const emulator::ProgramCheck found = emulator::check_program(program, libraries);
  for (const std::string& note : found.notes) fmt::print(stderr, "vigor: emulate: {}\n", note);
  if (found.problems.empty()) return;
  std::string text = fmt::format("emulate: {} cannot run on the emulated device:", program.string());
  for (const std::string& problem : found.problems) text += "\n  " + problem;
  throw std::runtime_error(text);
#endif
}

int run_emulate(const EmulateCall& call) {
  if (!kCudaBuild)
    throw std::runtime_error("emulate: this build has no emulated device; build with the CUDA toolkit (VIGOR_CUDA=on)");
  if (call.command.empty()) throw UsageError("emulate: name a program, as in vigor emulate ./prog");
  const fs::path program = find_program(call.command.front());
  if (!fs::is_regular_file(program))
    throw std::runtime_error(fmt::format("emulate: {} is not a file", program.string()));
  require_runnable(program, emulated_libraries());
  const auto set = [](const char* name, const std::string& value) { setenv(name, value.c_str(), 1); };
  set("VIGOR_EMULATOR_CHECK", call.check);
  set("VIGOR_EMULATOR_SHARED_KB", std::to_string(call.shared_kb));
  if (call.warp_order >= 0) set("VIGOR_EMULATOR_WARP_ORDER", std::to_string(call.warp_order));
  if (call.threads > 0) set("VIGOR_EMULATOR_THREADS", std::to_string(call.threads));
  if (call.wants_stats) set("VIGOR_EMULATOR_STATS", call.stats.empty() ? "-" : call.stats);
  if (call.leaks) set("VIGOR_EMULATOR_LEAKS", "1");
  std::vector<std::string> words = call.command;
  std::vector<char*> arguments;
  for (std::string& word : words) arguments.push_back(word.data());
  arguments.push_back(nullptr);
  exec_emulated(program, arguments.data());
}

}  // namespace

void add_emulate_command(CLI::App& app, CommandRun& run) {
  CLI::App* command = app.add_subcommand("emulate", "run an nvcc-built program on the emulated device, no GPU needed");
  auto call = std::make_shared<EmulateCall>();
  add_choice(*command, "--check", call->check, {"full", "bounds", "off"},
             "full: also races, uninitialised reads and missing waits", "Checks");
  add_number(*command, "--warp-order", call->warp_order, 0, "let warps run in a random order; N is its seed", "Checks");
  command->add_flag("--leaks", call->leaks, "report device memory that is not freed at the end")->group("Checks");
  add_number(*command, "--shared-kb", call->shared_kb, 48, "shared memory a block may have: 99, 163 or 227", "Device")
      ->capture_default_str();
  add_number(*command, "--threads", call->threads, 0, "CPU threads that run blocks", "Device");
  command->add_flag("--stats", call->wants_stats, "counters of each kernel and source line, on standard error")
      ->group("Counters");
  command->add_option("--stats-file", call->stats, "the same into a file")->type_name("FILE")->group("Counters");
  command
      ->prefix_command();  // the first word that is not one of these options is the program; the rest is the program's
  command->footer(
      "vigor emulate [OPTIONS] PROGRAM [ITS ARGUMENTS]\n"
      "The program must link the shared CUDA runtime and hold uncompressed PTX:\n"
      "  nvcc -cudart shared -gencode arch=compute_80,code=compute_80 --no-compress -lineinfo -o prog prog.cu\n"
      "Examples:\n"
      "  vigor emulate ./prog\n"
      "  vigor emulate --stats --warp-order 7 ./prog its-argument");
  command->callback([command, call, &run] {
    call->command = command->remaining();
    call->wants_stats = call->wants_stats || !call->stats.empty();
    run = [call] { return run_emulate(*call); };
  });
}

}  // namespace vigor
