// vigor profile: where the time of a training step, or of an answer, goes, against what the machine could do.
#include <fmt/core.h>
#include <omp.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <fstream>
#include <iterator>
#include <memory>

#include "kernels/attention/attention_backend.h"
#include "models/families.h"
#include "models/generation.h"
#include "tensor/check.h"
#include "tensor/file.h"
#include "tensor/simd.h"
#include "train/commands/common.h"
#include "train/device_choice.h"
#include "train/gemm_plan_file.h"
#include "train/profile/html_report.h"
#include "train/profile/measured_steps.h"
#include "train/profile/profile_table.h"
#include "train/profile/summary.h"
#include "train/profile/trace.h"
#include "train/run_setup.h"
#include "train/training_step.h"

namespace vigor {
namespace {

namespace fs = std::filesystem;

constexpr size_t kMaxProfileBytes = size_t{1} << 30;

// The options of `vigor train` that change what a step computes.
constexpr const char* kRunOptions[] = {
    "model",     "vocab_size", "pad_vocab", "max_seq_len",      "layers", "data",        "tokenizer",
    "cache_dir", "batch_size", "seq_len",   "accumulate",       "seed",   "dropout",     "recompute",
    "dtype",     "moments",    "threads",   "filter_gradients", "device", "activations", "stochastic_rounding",
    "attention", "gemm_plan"};

struct ProfileCall {
  RunConfig config;
  std::set<std::string> given;  // those of its options that were set
  int64_t steps = 5, warmup = 2;
  bool generate = false;
  int64_t prompt_tokens = 16, new_tokens = 32;
  std::string json, csv, trace, report;
  std::vector<std::string> compare;
};

// How this program was called, for the profile.
std::string command_line() {
  std::ifstream file("/proc/self/cmdline", std::ios::binary);
  std::string words{std::istreambuf_iterator<char>(file), {}};
  if (!words.empty() && words.back() == '\0') words.pop_back();
  std::replace(words.begin(), words.end(), '\0', ' ');
  return "vigor" + words.substr(std::min(words.find(' '), words.size()));
}

std::unique_ptr<ModelConfig> config_of(const std::string& model) {
  if (is_preset(model) && !fs::exists(model)) return preset_config(model);
  return read_config(fs::is_regular_file(model) ? fs::path(model) : model_folder_of(model, "profile") / "config.json");
}

// A model with new weights and no data: its speed depends on neither.
RunSetup setup_without_data(RunConfig config, bool trains) {
  RunSetup setup;
  setup.device = choose_device(config.device, "profile");  // may restart the program
  if (config.threads > 0) omp_set_num_threads(static_cast<int>(config.threads));
  config.threads = omp_get_max_threads();
  const std::unique_ptr<ModelConfig> shape = config_of(config.model);
  apply_overrides(*shape, {config.vocab_size, config.max_seq_len, config.layers});
  if (config.seq_len == 0) config.seq_len = std::min(shape->max_seq_len, kDefaultSeqLen);
  check(config.seq_len <= shape->max_seq_len, "profile: {} is above the model's max_seq_len {}",
        trains ? fmt::format("--seq-len {}", config.seq_len)
               : fmt::format("--prompt-tokens and --new-tokens together, {},", config.seq_len),
        shape->max_seq_len);
  setup.model = make_model(*shape);
  ArenaOptions arena;
  arena.dtype = *dtype_from_name(config.dtype);
  arena.device = setup.device;
  setup.model->allocate(arena);
  setup.model->parameters().initialize(static_cast<uint64_t>(config.seed));
  if (trains) setup.model->parameters().allocate_gradients();
  if (setup.device.is_cpu()) setup.gemm_plan = choose_gemm_plan(config.gemm_plan).plan;
  setup.config = std::move(config);
  return setup;
}

// As `vigor train` would begin, but without a folder of its own.
RunSetup setup_with_data(RunConfig config, const std::set<std::string>& given) {
  const Temporary folder(fs::temp_directory_path() / "vigor-profile", Temporary::Kind::folder);
  config.out = folder.path().string();
  return prepare_run(std::move(config), given, [](const std::string& line) { fmt::print(stderr, "{}\n", line); });
}

MeasuredSteps measure_training(const RunSetup& setup, const ProfileCall& call, double& tokens) {
  const RunConfig& config = setup.config;
  TrainingStep step(*setup.model, config, setup.device);
  tokens = static_cast<double>(step.tokens());
  int64_t number = -1;
  const auto load = [&] {
    step.load([&](int64_t micro, std::span<int32_t> ids, std::span<int32_t> targets) {
      setup.batches->sample(static_cast<uint32_t>(number), micro * config.batch_size, ids, targets);
    });
  };
  return measure_steps(
      setup.device, call.warmup, call.steps,
      [&] {
        ++number;
        if (!setup.batches) step.load(random_ids(setup.model->config().vocab_size, number));
      },
      [&] {
        if (setup.batches) load();
        step.set_inputs(number, config.lr);
        step.run();
      });
}

MeasuredSteps measure_generation(const RunSetup& setup, const ProfileCall& call, double& tokens) {
  const RunConfig& config = setup.config;
  const int64_t V = setup.model->config().vocab_size;
  std::vector<std::vector<int32_t>> prompts(static_cast<size_t>(config.batch_size));
  uint64_t drawn = 0;
  for (std::vector<int32_t>& prompt : prompts)
    for (int64_t i = 0; i < call.prompt_tokens; ++i)
      prompt.push_back(static_cast<int32_t>(random_bits({1, RandomStream::data, 0, 0}, drawn++) % V));
  GenerateOptions options;
  options.max_new_tokens = call.new_tokens;
  tokens = static_cast<double>(config.batch_size * call.new_tokens);
  return measure_steps(
      setup.device, call.warmup, call.steps, [] {}, [&] { generate(*setup.model, prompts, options); });
}

Profile profile_of(const RunSetup& setup, const ProfileCall& call, std::vector<RecordedStep>& recorded) {
  const RunConfig& config = setup.config;
  const Dtype dtype = *dtype_from_name(config.dtype);
  const MachinePeaks peaks = setup.device.is_cpu() ? measure_machine(static_cast<int>(config.threads))
                                                   : measure_gpu(setup.device, dtype, cuda_is_emulated());
  const GemmPlanScope plan(setup.gemm_plan);
  const AttentionBackendScope attention(attention_backend_of(config.attention));
  double tokens = 0;
  MeasuredSteps measured =
      call.generate ? measure_generation(setup, call, tokens) : measure_training(setup, call, tokens);
  Profile profile;
  profile.command = command_line();
  profile.model = config.model;
  profile.mode = call.generate ? "generate" : "train";
  profile.device = to_string(setup.device);
  profile.dtype = config.dtype;
  profile.batch = config.batch_size;
  profile.seq = config.seq_len;
  profile.threads = config.threads;
  profile.machine.cpu = setup.device.is_cpu() ? cpu_name() : cuda_description();
  profile.machine.isa = name_of(current_isa());
  std::vector<std::string> kinds;
  for (const LayerSummary& layer : setup.model->layer_summaries()) kinds.push_back(layer.kind);
  summarize(profile, measured.profiled, measured.unprofiled, peaks, kinds, tokens);
  recorded = std::move(measured.profiled);
  return profile;
}

void write_output(const std::string& path, const std::string& text) {
  if (path == "-") write_standard_output(text + "\n");
  else if (!path.empty()) write_file(path, text);
}

int compare(const ProfileCall& call) {
  const auto read = [](const std::string& path) { return profile_from_json(read_text(path, kMaxProfileBytes), path); };
  const Profile before = read(call.compare[0]), after = read(call.compare[1]);
  write_standard_output(comparison_table(before, after));
  if (!call.report.empty()) write_file(call.report, html_report(after, &before));
  return 0;
}

int run_profile(ProfileCall& call) {
  if (call.generate) call.config.seq_len = call.prompt_tokens + call.new_tokens;
  if (!call.compare.empty()) {
    if (!call.given.empty())
      throw UsageError("profile: --compare reads two files and measures nothing; leave the other options out");
    return compare(call);
  }
  try {
    check_run_config(call.config);
    check(!call.generate || call.config.data.empty(), "--generate and --data exclude each other");
  } catch (const std::invalid_argument& error) {
    throw UsageError(std::string("profile: ") + error.what());
  }
  const RunSetup setup = call.config.data.empty() ? setup_without_data(call.config, !call.generate)
                                                  : setup_with_data(call.config, call.given);
  if (!setup.device.is_cpu()) fmt::print(stderr, "vigor: {}\n", describe_device(setup.device));
  std::vector<RecordedStep> recorded;
  const Profile profile = profile_of(setup, call, recorded);
  if (call.json != "-") write_standard_output(profile_table(profile));
  if (!call.json.empty()) write_output(call.json, to_json(profile));
  if (!call.csv.empty()) write_file(call.csv, profile_csv(profile));
  if (!call.trace.empty()) write_file(call.trace, trace_json(profile.command, recorded));
  if (!call.report.empty()) write_file(call.report, html_report(profile));
  return 0;
}

}  // namespace

void add_profile_command(CLI::App& app, CommandRun& run) {
  CLI::App* command = app.add_subcommand("profile", "where the time of a training step or an answer goes");
  auto call = std::make_shared<ProfileCall>();
  call->config.model = "i3-80m";
  for (const RunOption& option : run_options())
    if (std::find(std::begin(kRunOptions), std::end(kRunOptions), std::string_view(option.name)) !=
        std::end(kRunOptions))
      add_run_option(*command, option, call->config);
  add_number(*command, "--steps", call->steps, 1, "steps to record, and as many without the profiler", "Profile")
      ->capture_default_str();
  add_number(*command, "--warmup", call->warmup, 0, "steps before them", "Profile")->capture_default_str();
  auto* generate = command->add_flag("--generate", call->generate, "answers to prompts in place of training steps")
                       ->group("Profile");
  add_number(*command, "--prompt-tokens", call->prompt_tokens, 1, "of each prompt", "Profile")
      ->capture_default_str()
      ->needs(generate);
  add_number(*command, "--new-tokens", call->new_tokens, 1, "of each answer", "Profile")
      ->capture_default_str()
      ->needs(generate);
  const auto add_file = [&](const char* name, std::string& value, const char* help) {
    return command->add_option(name, value, help)->type_name("FILE")->group("Output");
  };
  auto* json = add_file("--json", call->json, "the profile as JSON; - for standard output, in place of the table");
  auto* csv = add_file("--csv", call->csv, "the operations as comma-separated values");
  auto* trace = add_file("--trace", call->trace, "a trace for chrome://tracing or ui.perfetto.dev");
  add_file("--report", call->report, "one HTML page: roofline, layers, memory");
  command->add_option("--compare", call->compare, "two profiles (--json), before and after, in place of a new one")
      ->type_name("FILE FILE")
      ->expected(2)
      ->excludes(json)
      ->excludes(csv)
      ->excludes(trace)
      ->group("Output");
  command->footer(
      "Prints a table: one row for each operation and the shapes of its operands, then layers, phases, memory, and\n"
      "what bounds the step. roof: share of the time that the limits of this machine, measured at the start, allow.\n"
      "Without --data, steps get random ids of the model's whole vocabulary (docs/profiling.md).\n"
      "Examples:\n"
      "  vigor profile --model i3-80m\n"
      "  vigor profile --model i3-80m --recompute --report step.html --trace step.json\n"
      "  vigor profile --model i3-80m --data stories.txt --batch-size 8\n"
      "  vigor profile --model i3-80m --generate --batch-size 1 --prompt-tokens 64 --new-tokens 64\n"
      "  vigor profile --model i3-tiny --json after.json\n"
      "  vigor profile --compare before.json after.json --report change.html");
  command->callback([command, call, &run] {
    for (const RunOption& option : run_options()) {
      const CLI::Option* added = command->get_option_no_throw(flag_of(option));
      if (added != nullptr && added->count() > 0) call->given.insert(option.name);
    }
    run = [call] { return run_profile(*call); };
  });
}

}  // namespace vigor
