#include "train/commands/common.h"

#include <fmt/core.h>
#include <fmt/ranges.h>
#include <omp.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <charconv>
#include <cstdio>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "models/families.h"
#include "tensor/check.h"
#include "tensor/file.h"
#include "train/checkpoint.h"
#include "train/device_choice.h"

namespace vigor {
namespace {

namespace fs = std::filesystem;
using json = nlohmann::json;

// Takes ids out of lists that are nested exactly `depth` deep while the text is read, so that no text, however deeply
// nested, costs more memory than its ids.
class IdReader : public nlohmann::json_sax<json> {
 public:
  IdReader(int depth, int64_t vocab_size) : wanted_depth_(depth), vocab_size_(vocab_size) {}
  std::vector<int32_t> ids;
  std::vector<int64_t> row_lengths;  // of the innermost lists
  std::string error;

  bool null() override { return wrong("null"); }
  bool boolean(bool) override { return wrong("a boolean"); }
  bool number_integer(int64_t value) override { return id(value, std::to_string(value)); }
  bool number_unsigned(uint64_t value) override {
    return id(value < uint64_t{INT32_MAX} ? static_cast<int64_t>(value) : -1, std::to_string(value));
  }
  bool number_float(double, const std::string& text) override { return wrong(printable(text, 40)); }
  bool string(std::string&) override { return wrong("a string"); }
  bool binary(json::binary_t&) override { return wrong("binary data"); }
  bool start_object(size_t) override { return wrong("an object"); }
  bool end_object() override { return true; }
  bool key(std::string&) override { return true; }
  bool start_array(size_t) override {
    if (depth_ == wanted_depth_) return wrong("a list");
    if (++depth_ == wanted_depth_) row_lengths.push_back(0);
    return true;
  }
  bool end_array() override { return --depth_ >= 0; }
  bool parse_error(size_t position, const std::string&, const nlohmann::json::exception&) override {
    if (error.empty()) error = fmt::format("not valid JSON at byte {}", position);
    return false;
  }

 private:
  std::string place() const {
    if (wanted_depth_ == 1) return fmt::format("id {}", ids.size());
    return fmt::format("row {}, position {}", row_lengths.size() - 1, row_lengths.back());
  }
  bool wrong(const std::string& what) {
    if (depth_ == wanted_depth_) error = fmt::format("{}: an id must be a whole number; got {}", place(), what);
    else if (depth_ == 1) error = fmt::format("row {} must be a list of ids; got {}", row_lengths.size(), what);
    else error = fmt::format("must be a list of {}ids; got {}", wanted_depth_ == 1 ? "" : "lists of ", what);
    return false;
  }
  bool id(int64_t value, const std::string& text) {
    if (depth_ != wanted_depth_) return wrong(text);
    if (value < 0 || value >= vocab_size_) {
      error = fmt::format("{}: ids of this model are 0..{}; got {}", place(), vocab_size_ - 1, text);
      return false;
    }
    ids.push_back(static_cast<int32_t>(value));
    ++row_lengths.back();
    return true;
  }

  int wanted_depth_, depth_ = 0;
  int64_t vocab_size_;
};

void read_json(IdReader& reader, std::string_view text, std::string_view origin) {
  if (!json::sax_parse(text, &reader)) fail("{}: {}", origin, reader.error);
}

}  // namespace

CLI::Option* add_number(CLI::App& command, const char* name, int64_t& value, int64_t least, const char* help,
                        const char* group) {
  CLI::Validator range = CLI::Range(least, int64_t{1'000'000'000});
  range.description("");  // would repeat the limits in the help of every option
  return command.add_option(name, value, help)->check(range)->type_name("N")->group(group);
}

void add_choice(CLI::App& command, const char* name, std::string& value, const std::vector<std::string>& words,
                const char* help, const char* group) {
  CLI::Validator member = CLI::IsMember(words);
  member.description("");
  command.add_option(name, value, help)
      ->check(member)
      ->type_name(fmt::format("{}", fmt::join(words, "|")))
      ->capture_default_str()
      ->group(group);
}

std::string flag_of(const RunOption& option) {
  std::string name = option.name;
  std::replace(name.begin(), name.end(), '_', '-');
  return "--" + name;
}

void add_run_option(CLI::App& command, const RunOption& option, RunConfig& config) {
  const auto add = [&](auto field) {
    auto& value = config.*field;
    using T = std::decay_t<decltype(value)>;
    const std::string flag = flag_of(option);
    if constexpr (std::is_same_v<T, bool>) {
      command.add_flag(flag + ",!--no-" + flag.substr(2), value, option.help)->group(option.group);
    } else {
      const char* type = std::is_same_v<T, int64_t> ? "N" : std::is_same_v<T, double> ? "X" : option.value;
      CLI::Option* added = command.add_option(flag, value, option.help)->type_name(type)->group(option.group);
      if (added->capture_default_str()->get_default_str() == "[]") added->default_str("");
    }
  };
  std::visit(add, option.field);
}

LoadOptions ModelUse::load_options(Device device) const {
  LoadOptions options;
  options.rope_compat = rope_compat;
  options.arena.dtype = *dtype_from_name(dtype);
  options.arena.device = device;
  return options;
}

void add_model_use_options(CLI::App& command, ModelUse& use, const char* group) {
  add_choice(command, "--dtype", use.dtype, {"f32", "bf16"},
             "of weights and activations in memory, whatever the file has: bf16 takes half of it", group);
  command
      .add_flag("--rope-compat", use.rope_compat,
                "rotary positions with the float32 angles of transformers, which are off by up to 0.009 far out")
      ->group(group);
}

void add_compute_options(CLI::App& command, ComputeOptions& options) {
  add_number(command, "--threads", options.threads, 0, "CPU threads; 0: all cores", "Run")->capture_default_str();
  add_choice(command, "--device", options.device, kDeviceNames, "where to compute", "Run");
}

Device apply(const ComputeOptions& options, const char* command) {
  const Device device = choose_device(options.device, command);
  if (options.threads > 0) omp_set_num_threads(static_cast<int>(options.threads));
  if (!device.is_cpu()) fmt::print(stderr, "vigor: {}\n", describe_device(device));
  return device;
}

fs::path model_folder_of(const std::string& path, const char* command) {
  if (has_folder(path) && fs::exists(find_folder(path) / "config.json")) return find_folder(path);
  if (has_checkpoint(path)) return find_checkpoint(path, print_warning).folder;
  if (is_preset(path))
    throw UsageError(
        fmt::format("{}: {} is a preset and has no weights; train it first: vigor train --model {} --out DIR", command,
                    path, path));
  if (has_folder(path)) throw std::runtime_error(fmt::format("{}: {} has no config.json", command, path));
  throw std::runtime_error(fmt::format("{}: --model must be a model folder; {} {}", command, path,
                                       fs::exists(path) ? "is a file" : "does not exist"));
}

ModelFolder open_model(const std::string& path, const char* command, const LoadOptions& options) {
  ModelFolder folder = load_model_folder(model_folder_of(path, command), options);
  for (const std::string& warning : folder.warnings) print_warning(warning);
  return folder;
}

std::vector<int32_t> parse_ids(std::string_view text, std::string_view origin, int64_t vocab_size) {
  constexpr std::string_view kWhite = " \t\r\n";
  std::vector<int32_t> ids;
  size_t at = text.find_first_not_of(kWhite);
  if (at != std::string_view::npos && text[at] == '[') {
    IdReader reader(1, vocab_size);
    read_json(reader, text, origin);
    return std::move(reader.ids);
  }
  while (at != std::string_view::npos) {
    const size_t end = std::min(text.find_first_of(kWhite, at), text.size());
    int64_t id = 0;
    const auto result = std::from_chars(text.data() + at, text.data() + end, id);
    check(result.ec == std::errc() && result.ptr == text.data() + end && id >= 0 && id < vocab_size,
          "{}: id {}: ids of this model are 0..{}; got {}", origin, ids.size(), vocab_size - 1,
          printable(text.substr(at, end - at), 40));
    ids.push_back(static_cast<int32_t>(id));
    at = text.find_first_not_of(kWhite, end);
  }
  return ids;
}

Tensor parse_id_rows(std::string_view text, std::string_view origin, int64_t vocab_size) {
  IdReader reader(2, vocab_size);
  read_json(reader, text, origin);
  check(!reader.ids.empty(), "{}: must be a list of lists of ids; got none", origin);
  const std::vector<int64_t>& lengths = reader.row_lengths;
  for (size_t b = 0; b < lengths.size(); ++b)
    check(lengths[b] == lengths[0], "{}: all rows must have the same length; row 0 has {} ids and row {} has {}",
          origin, lengths[0], b, lengths[b]);
  return from_values(reader.ids, {static_cast<int64_t>(lengths.size()), lengths[0]});
}

void print_warning(std::string_view text) { fmt::print(stderr, "vigor: warning: {}\n", text); }

std::string read_standard_input() {
  std::string text;
  std::string block(size_t{1} << 16, '\0');
  while (const size_t count = std::fread(block.data(), 1, block.size(), stdin)) text.append(block, 0, count);
  if (std::ferror(stdin) != 0) throw std::runtime_error("cannot read standard input");
  return text;
}

void write_standard_output(std::string_view text) {
  if (std::fwrite(text.data(), 1, text.size(), stdout) != text.size() || std::fflush(stdout) != 0)
    throw std::runtime_error("cannot write to standard output");
}

}  // namespace vigor
