#include "train/run_setup.h"

#include <omp.h>

#include <algorithm>

#include "kernels/attention/attention_backend.h"
#include "models/config_fields.h"
#include "models/families.h"
#include "models/hf/model_folder.h"
#include "tensor/check.h"
#include "train/data/bpe_vocabulary.h"
#include "train/data/token_cache.h"
#include "train/device_choice.h"
#include "train/gemm_plan_file.h"
#include "train/metrics/progress.h"

namespace vigor {
namespace {

namespace fs = std::filesystem;

using Note = std::function<void(const std::string&)>;  // hears of what takes long

constexpr const char* kDemoModel = "i3-tiny";

// `vigor train` without a model: a small one, and a recipe that makes it talk within three minutes on two cores.
void apply_demo_defaults(RunConfig& config, const std::set<std::string>& given) {
  const auto set = [&](const char* name, auto RunConfig::*field, auto value) {
    if (given.count(name) == 0) config.*field = value;
  };
  config.model = kDemoModel;
  set("max_seq_len", &RunConfig::max_seq_len, int64_t{192});  // about one story
  set("steps", &RunConfig::steps, int64_t{5000});
  set("batch_size", &RunConfig::batch_size, int64_t{8});
  set("lr", &RunConfig::lr, 4e-3);
  set("log_every", &RunConfig::log_every, int64_t{250});
  set("eval_every", &RunConfig::eval_every, int64_t{1000});
  set("save_every", &RunConfig::save_every, int64_t{1000});
  set("sample_every", &RunConfig::sample_every, int64_t{1000});
  set("sample_tokens", &RunConfig::sample_tokens, int64_t{120});
}

// Options that do not change what is computed, so that a resumed run may set them anew.
bool may_change_on_resume(const std::string& option) {
  static const std::set<std::string> free = {
      "stop_at",     "resume",       "out",        "threads",      "json",          "log_every",
      "eval_every",  "eval_batches", "save_every", "sample_every", "sample_tokens", "prompts",
      "tensorboard", "cache_dir",    "device",     "cuda_graph",   "gemm_plan"};
  return free.count(option) != 0;
}

// The stored options, with those that the user gave this time and that may change.
RunConfig resumed_config(const RunConfig& asked, const std::set<std::string>& given, const Checkpoint& checkpoint) {
  RunConfig config;
  std::set<std::string> stored;
  read_run_config(checkpoint.state.run_config, (checkpoint.folder / "run_state.json").string(), config, stored);
  for (const RunOption& option : run_options()) {
    if (given.count(option.name) == 0) continue;
    std::visit(
        [&](auto field) {
          if (may_change_on_resume(option.name)) config.*field = asked.*field;
          // A length that was left to a default is stored as what it became, and 0 asks for the default again.
          else if (!(config.*field == asked.*field))
            fail(
                "train: --resume continues the same run, so '{}' cannot change; leave it out, or start a new run in "
                "another --out",
                option.name);
        },
        option.field);
  }
  config.resume = true;
  config.stop_at = given.count("stop_at") != 0 ? asked.stop_at : 0;
  config.out = asked.out;
  check_run_config(config);
  return config;
}

// Where --data points, hashed together with the tokenizer: a resumed run must see the same ids.
std::string data_key_of(const std::vector<DataSource>& sources, const Tokenizer& tokenizer) {
  std::string key = fmt::format("{:016x}", tokenizer.fingerprint());
  for (const DataSource& source : sources) key += fmt::format(" {:016x}", source_hash(source));
  return key;
}

DataProgress progress_of(const char* verb, const Note& note) {
  auto last = std::make_shared<uint64_t>(0);
  return [=](const DataSource& source, uint64_t nbytes) {
    constexpr uint64_t kStep = 25'000'000;  // bytes between two lines
    if (nbytes / kStep == *last / kStep) return;
    *last = nbytes;
    note(fmt::format("{} {}: {}", verb, source.path, Progress::bytes(static_cast<int64_t>(nbytes))));
  };
}

void prepare_data(RunSetup& setup, const std::vector<DataSource>& sources, const Note& note) {
  const RunConfig& config = setup.config;
  const TokenCache cache(config.cache_dir.empty() ? default_cache_folder() : fs::path(config.cache_dir));
  const HoldOut hold_out = config.valid_data.empty() ? HoldOut::one_percent : HoldOut::none;
  const DataProgress progress = progress_of("tokenising", note);

  std::vector<SourceTokens> tokens;
  for (const DataSource& source : sources) tokens.push_back(cache.open(source, *setup.tokenizer, hold_out, progress));
  std::vector<WeightedStream> held_out = valid_streams(tokens);
  if (!config.valid_data.empty()) {
    std::vector<SourceTokens> valid;
    for (const DataSource& source : parse_data_sources(config.valid_data))
      valid.push_back(cache.open(source, *setup.tokenizer, HoldOut::none, progress));
    held_out = train_streams(valid);
  }
  int64_t train_tokens = 0;
  int64_t valid_tokens = 0;
  for (const SourceTokens& t : tokens) train_tokens += t.train.size();
  for (const WeightedStream& stream : held_out) valid_tokens += stream.tokens.size();
  setup.batches =
      std::make_unique<BatchSampler>(train_streams(tokens), static_cast<uint64_t>(config.seed), config.seq_len);

  std::erase_if(held_out, [&](const WeightedStream& s) { return s.tokens.size() <= config.seq_len; });
  if (held_out.empty()) {
    setup.notes.push_back("held out: nothing, the data are too short; the loss on new text will not be known");
  } else {
    setup.held_out = std::make_unique<EvaluationBatches>(std::move(held_out), config.batch_size, config.seq_len,
                                                         config.eval_batches);
  }
  setup.notes.push_back(fmt::format("data: {} tokens to train on, {} held out; vocabulary of {}",
                                    Progress::count(train_tokens), Progress::count(valid_tokens),
                                    Progress::count(setup.tokenizer->vocab_size())));
}

ArenaOptions arena_options(const RunSetup& setup) {
  ArenaOptions options;
  options.dtype = setup.config.dtype == "bf16" ? Dtype::bf16 : Dtype::f32;
  options.device = setup.device;
  return options;
}

// Builds the vocabulary of a new model from its training data: at most `cap` ids.
std::unique_ptr<Tokenizer> build_tokenizer(const RunConfig& config, const std::vector<DataSource>& sources, bool bpe,
                                           int64_t cap, const Note& note) {
  const HoldOut hold_out = config.valid_data.empty() ? HoldOut::one_percent : HoldOut::none;
  if (bpe) {
    BpeTrainOptions options;
    options.vocab_size = cap;
    return build_bpe_vocabulary(sources, hold_out, options, progress_of("counting words of", note));
  }
  ChunkVocabularyBuilder::Options options;
  options.max_size = cap;
  options.pad = config.pad_vocab;
  return build_chunk_vocabulary(sources, hold_out, options, progress_of("counting chunks of", note));
}

// The tokenizer of a new model, and with it V: the tokenizer's size or, with padding, the cap.
void choose_tokenizer(RunSetup& setup, const std::vector<DataSource>& sources, const ModelConfig& shape,
                      int64_t& vocab_size, const Note& note) {
  const RunConfig& config = setup.config;
  const int64_t cap = config.vocab_size > 0 ? config.vocab_size : shape.vocab_size;
  const bool build = config.tokenizer.empty() || config.tokenizer == "bpe" || config.tokenizer == "chunk";
  if (build) {
    const bool bpe = config.tokenizer.empty() ? shape.model_type() == "falcon_h1" : config.tokenizer == "bpe";
    setup.tokenizer = build_tokenizer(config, sources, bpe, cap, note);
    if (setup.tokenizer->vocab_size() < cap)
      setup.notes.push_back(
          fmt::format("the data have fewer {} than the cap of {}: the vocabulary has {} (--pad-vocab keeps the cap)",
                      bpe ? "frequent pairs" : "chunks", cap, setup.tokenizer->vocab_size()));
  } else {
    setup.tokenizer = load_tokenizer(config.tokenizer);
  }
  // A preset takes the size of the tokenizer; a number that the user has written is to be kept.
  const bool written = config.vocab_size > 0 || !is_preset(config.model);
  const int64_t size = setup.tokenizer->vocab_size();
  check(size <= cap || !written, "train: the tokenizer has {} tokens, more than the vocab_size of {}", size, cap);
  const bool pad = config.pad_vocab || (!build && written);
  vocab_size = pad && shape.may_have_spare_ids() ? std::max(size, cap) : size;
}

// The ids that a config.json names are those of the published tokenizer; a new one has others.
std::unique_ptr<ModelConfig> with_token_ids(const ModelConfig& shape, const Tokenizer& tokenizer) {
  ConfigFields fields(shape.to_json(), "config.json");
  const std::optional<int32_t> end = tokenizer.end_id();
  for (const char* key : {"bos_token_id", "eos_token_id", "pad_token_id"}) {
    const bool open = std::string_view(key) == "eos_token_id" && fields.is_null(key);  // a preset has none yet
    if (end && (fields.has(key) || open)) fields.set(key, int64_t{*end});
  }
  if (fields.has("tokenizer_type")) fields.set("tokenizer_type", tokenizer.name());
  return parse_config(fields.to_json(), "config.json");
}

// A new model from a preset or config.json: first its vocabulary, which gives V.
void make_new_model(RunSetup& setup, const std::vector<DataSource>& sources, const Note& note) {
  const RunConfig& config = setup.config;
  std::unique_ptr<ModelConfig> shape =
      is_preset(config.model) ? preset_config(config.model) : read_config(config.model);
  ConfigOverrides overrides;
  choose_tokenizer(setup, sources, *shape, overrides.vocab_size, note);
  overrides.max_seq_len = config.max_seq_len;
  overrides.layers = config.layers;
  apply_overrides(*shape, overrides);
  setup.model = make_model(*with_token_ids(*shape, *setup.tokenizer));
  setup.model->allocate(arena_options(setup));
  setup.model->parameters().initialize(static_cast<uint64_t>(config.seed));
}

void load_model(RunSetup& setup, const fs::path& folder) {
  LoadOptions options;
  options.arena = arena_options(setup);
  ModelFolder loaded = load_model_folder(folder, options);
  setup.model = std::move(loaded.model);
  setup.tokenizer = std::move(loaded.tokenizer);
  for (std::string& warning : loaded.warnings) setup.notes.push_back(std::move(warning));
}

// Another library rounds differently, so a resumed run goes on with the plan it began with, whatever the file has now.
void prepare_gemm_plan(RunSetup& setup, const std::set<std::string>& given) {
  if (!setup.device.is_cpu()) return;  // no such choice there
  if (setup.resumed && given.count("gemm_plan") == 0) {
    try {
      setup.gemm_plan = GemmPlan::from_string(setup.resumed->state.gemm_plan);
    } catch (const std::invalid_argument& error) {
      fail("train: --resume: the checkpoint's {}; --gemm-plan off goes on with our own kernels", error.what());
    }
    return;
  }
  ChosenGemmPlan chosen = choose_gemm_plan(setup.config.gemm_plan);
  setup.gemm_plan = std::move(chosen.plan);
  setup.notes.push_back(std::move(chosen.note));
}

// A run that nobody asked to continue must not be written over.
void require_free_folder(RunConfig& config, const std::set<std::string>& given) {
  if (!has_checkpoint(config.out)) return;
  if (given.count("out") != 0)
    fail("train: {} already holds a run; --resume continues it, another --out starts a new one", config.out);
  const std::string base = config.out;
  for (int number = 2; has_checkpoint(config.out); ++number) config.out = fmt::format("{}-{}", base, number);
}

}  // namespace

ModelWriter RunSetup::model_writer(const Optimizer& optimizer) const {
  return [this, &optimizer](const fs::path& folder) {
    SaveOptions options;
    options.value_of = [&](const ArenaSlot& parameter) { return optimizer.full_precision(parameter); };
    write_model_files(folder, *model, tokenizer.get(), options);
  };
}

RunSetup prepare_run(RunConfig config, const std::set<std::string>& given, const Note& note) {
  RunSetup setup;
  if (config.resume) {
    setup.resumed = find_checkpoint(config.out, note);
    config = resumed_config(config, given, *setup.resumed);
  }
  setup.device = choose_device(config.device, "train");  // may restart the program: nothing was done or said yet
  check(!config.cuda_graph || !setup.device.is_cpu(), "train: --cuda-graph needs --device cuda or emulated");
  check(
      config.filter_gradients == 0 || setup.device.is_cpu(),
      "train: --filter-gradients needs --device cpu; on a GPU the products would have to wait for the count of blocks");
  if (config.attention == "cudnn")
    if (const std::string problem = attention_cudnn_problem(); !problem.empty())
      throw std::runtime_error("train: --attention cudnn: " + problem);
  if (!setup.device.is_cpu()) note("device: " + describe_device(setup.device));
  if (setup.resumed) {
    note(fmt::format("resuming {} at step {}", config.out, setup.resumed->state.step));
  } else {
    if (config.model.empty()) apply_demo_defaults(config, given);
    require_free_folder(config, given);
  }
  if (config.threads > 0) omp_set_num_threads(static_cast<int>(config.threads));
  config.threads = omp_get_max_threads();
  setup.config = std::move(config);
  prepare_gemm_plan(setup, given);

  const std::vector<DataSource> sources = parse_data_sources(setup.config.data);
  const bool is_folder = fs::is_directory(setup.config.model);
  if (setup.resumed) {
    load_model(setup, setup.resumed->folder);
  } else if (is_folder) {
    const RunConfig& c = setup.config;
    check(c.vocab_size == 0 && c.max_seq_len == 0 && c.layers == 0 && !c.pad_vocab && c.tokenizer.empty(),
          "train: --tokenizer, --vocab-size, --pad-vocab, --max-seq-len and --layers are for training from scratch; {} "
          "has weights",
          c.model);
    load_model(setup, setup.config.model);
  } else {
    make_new_model(setup, sources, note);
  }
  const int64_t longest = setup.model->config().max_seq_len;
  if (setup.config.seq_len == 0) setup.config.seq_len = std::min(longest, kDefaultSeqLen);
  check(setup.config.seq_len <= longest,
        "train: --seq-len {} is above the model's max_seq_len {}; --max-seq-len raises it", setup.config.seq_len,
        longest);

  setup.data_key = data_key_of(sources, *setup.tokenizer);
  if (setup.resumed && setup.resumed->state.data_key != setup.data_key)
    fail("train: --resume: the data or the tokenizer have changed since the checkpoint {}",
         setup.resumed->folder.string());
  prepare_data(setup, sources, note);
  setup.model->parameters().allocate_gradients();
  fs::create_directories(setup.config.out);
  return setup;
}

}  // namespace vigor
