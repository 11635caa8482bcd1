// The trainer as a whole: same run twice, resume, damaged checkpoints, a loss that is not finite, steady memory.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <limits>

#include "autograd/engine.h"
#include "models/families.h"
#include "models/hf/model_folder.h"
#include "tensor/file.h"
#include "tensor/safetensors.h"
#include "train/checkpoint.h"
#include "train/data/story_generator.h"
#include "train/optimizer.h"
#include "train/trainer.h"

namespace vigor {
namespace {

namespace fs = std::filesystem;

class TrainerTest : public ::testing::Test {
 protected:
  void SetUp() override {
    folder_ = fs::path(::testing::TempDir()) /
              (std::string("vigor_trainer_") + ::testing::UnitTest::GetInstance()->current_test_info()->name());
    fs::remove_all(folder_);
    fs::create_directories(folder_);
    std::string text;
    for (uint64_t i = 0; i < 60; ++i) text += generate_story(7, i) + "\n<|endoftext|>\n";
    write_file(folder_ / "stories.txt", text);
    std::string other;
    for (uint64_t i = 60; i < 70; ++i) other += generate_story(7, i) + "\n<|endoftext|>\n";
    write_file(folder_ / "valid.txt", other);
  }
  void TearDown() override { fs::remove_all(folder_); }

  RunConfig config(const std::string& out) const {
    RunConfig c;
    c.model = "i3-tiny";
    c.data = {(folder_ / "stories.txt").string()};
    c.valid_data = {(folder_ / "valid.txt").string()};
    c.cache_dir = (folder_ / "cache").string();
    c.out = (folder_ / out).string();
    c.steps = 12;
    c.batch_size = 2;
    c.seq_len = 24;
    c.warmup = 4;
    c.dropout = 0.1;
    c.log_every = 2;
    c.eval_every = 4;
    c.eval_batches = 2;
    c.save_every = 4;
    c.sample_every = 0;
    c.threads = 2;
    c.lr = 1e-2;
    return c;
  }

  static std::set<std::string> given(const RunConfig& c) {
    std::set<std::string> names = {"model",      "data",         "cache_dir", "out",       "steps",      "batch_size",
                                   "seq_len",    "warmup",       "dropout",   "log_every", "eval_every", "eval_batches",
                                   "save_every", "sample_every", "threads",   "lr"};
    if (c.stop_at > 0) names.insert("stop_at");
    if (c.resume) names.insert("resume");
    if (c.accumulate > 1) names.insert("accumulate");
    if (c.activations != "f32") names.insert("activations");
    if (c.moments != "f32") names.insert("moments");
    if (c.filter_gradients > 0) names.insert("filter_gradients");
    return names;
  }

  int run(const RunConfig& c) const {
    ::testing::internal::CaptureStdout();
    try {
      const int status = train(c, given(c));
      output_ = ::testing::internal::GetCapturedStdout();
      return status;
    } catch (...) {
      output_ = ::testing::internal::GetCapturedStdout();
      throw;
    }
  }

  std::string bytes(const fs::path& file) const { return read_text(file, size_t{1} << 30); }
  void expect_same_checkpoint(const std::string& a, const std::string& b) const {
    for (const char* file : {"model.safetensors", "optimizer.safetensors", "chunk_vocab_combined.json", "config.json"})
      EXPECT_TRUE(bytes(folder_ / a / "last" / file) == bytes(folder_ / b / "last" / file)) << file;
  }

  fs::path folder_;
  mutable std::string output_;
};

TEST_F(TrainerTest, OneSeedGivesBitIdenticalRunsAndAnotherSeedDoesNot) {
  ASSERT_EQ(run(config("a")), 0);
  ASSERT_EQ(run(config("b")), 0);
  expect_same_checkpoint("a", "b");
  RunConfig other = config("c");
  other.seed = 2;
  ASSERT_EQ(run(other), 0);
  EXPECT_FALSE(bytes(folder_ / "a/model.safetensors") == bytes(folder_ / "c/model.safetensors"));
}

TEST_F(TrainerTest, StoppingAndResumingIsBitIdenticalToNotStopping) {
  RunConfig whole = config("whole");
  whole.accumulate = 2;
  ASSERT_EQ(run(whole), 0);

  RunConfig parts = config("parts");
  parts.accumulate = 2;
  parts.stop_at = 5;  // between checkpoints and lines
  ASSERT_EQ(run(parts), 0);
  parts.resume = true;
  parts.stop_at = 7;
  ASSERT_EQ(run(parts), 0);
  parts.stop_at = 0;
  ASSERT_EQ(run(parts), 0);
  expect_same_checkpoint("whole", "parts");
  EXPECT_EQ(read_run_state(folder_ / "parts/last").step, 12);
}

// With the options that compute less exactly, all at once: random rounding must go on where it stopped.
TEST_F(TrainerTest, ResumingIsBitIdenticalWithBf16StorageAndFilteredGradients) {
  RunConfig whole = config("whole");
  whole.activations = whole.moments = "bf16";
  whole.filter_gradients = 1e-3;
  ASSERT_EQ(run(whole), 0);
  RunConfig parts = whole;
  parts.out = (folder_ / "parts").string();
  parts.stop_at = 5;
  ASSERT_EQ(run(parts), 0);
  parts.resume = true;
  parts.stop_at = 0;
  ASSERT_EQ(run(parts), 0);
  expect_same_checkpoint("whole", "parts");

  ASSERT_EQ(run(config("plain")), 0);
  const auto size = [&](const char* out) { return fs::file_size(folder_ / out / "last/optimizer.safetensors"); };
  EXPECT_LT(static_cast<double>(size("whole")), 0.55 * static_cast<double>(size("plain")));
  EXPECT_FALSE(bytes(folder_ / "whole/model.safetensors") == bytes(folder_ / "plain/model.safetensors"));
  EXPECT_NE(read_text(folder_ / "whole/metrics.jsonl", 1 << 20).find("\"kept_gradients\":0."), std::string::npos);
  EXPECT_EQ(read_text(folder_ / "plain/metrics.jsonl", 1 << 20).find("kept_gradients"), std::string::npos);

  parts.resume = true;
  parts.moments = "f32";
  std::set<std::string> names = given(parts);
  names.insert("moments");
  try {
    train(parts, names);
    FAIL() << "moments cannot change their dtype within a run";
  } catch (const std::invalid_argument& error) {
    EXPECT_NE(std::string(error.what()).find("'moments' cannot change"), std::string::npos) << error.what();
  }
}

TEST_F(TrainerTest, EvaluationAndSamplesDoNotMoveTraining) {
  ASSERT_EQ(run(config("a")), 0);
  RunConfig b = config("b");
  b.eval_every = 1;
  b.sample_every = 3;
  b.sample_tokens = 5;
  b.log_every = 1;
  ASSERT_EQ(run(b), 0);
  expect_same_checkpoint("a", "b");
}

TEST_F(TrainerTest, RecomputationChangesNothing) {
  ASSERT_EQ(run(config("a")), 0);
  RunConfig b = config("b");
  b.recompute = true;
  ASSERT_EQ(train(b,
                  [&] {
                    auto names = given(b);
                    names.insert("recompute");
                    return names;
                  }()),
            0);
  expect_same_checkpoint("a", "b");
}

TEST_F(TrainerTest, TheLossFallsAndTheFolderHoldsEverything) {
  RunConfig c = config("run");
  c.steps = 40;
  c.save_every = 10;
  ASSERT_EQ(run(c), 0);
  for (const char* file :
       {"config.json", "model.safetensors", "chunk_vocab_combined.json", "metrics.jsonl", "training.svg",
        "last/run_state.json", "last/optimizer.safetensors", "previous/run_state.json", "best/model.safetensors"})
    EXPECT_TRUE(fs::exists(folder_ / "run" / file)) << file;
  std::ifstream metrics(folder_ / "run/metrics.jsonl");
  double first = 0, last = 0;
  for (std::string line; std::getline(metrics, line);) {
    const size_t at = line.find("\"loss\":");
    if (at == std::string::npos) continue;
    last = std::stod(line.substr(at + 7));
    if (first == 0) first = last;
  }
  EXPECT_GT(first, 6.0);  // about log V at the start
  EXPECT_LT(last, first - 0.8);
  const ModelFolder loaded = load_model_folder(folder_ / "run");
  EXPECT_EQ(loaded.model->config().max_seq_len, 64);
  EXPECT_NE(output_.find("vigor generate --model"), std::string::npos);
}

TEST_F(TrainerTest, ADamagedCheckpointIsFoundOutAndThePreviousOneContinues) {
  ASSERT_EQ(run(config("whole")), 0);
  ASSERT_EQ(run(config("run")), 0);
  fs::path victim = folder_ / "run/last/optimizer.safetensors";
  fs::resize_file(victim, fs::file_size(victim) - 5);
  EXPECT_THROW(read_run_state(folder_ / "run/last"), std::invalid_argument);
  std::string warning;
  const Checkpoint found = find_checkpoint(folder_ / "run", [&](const std::string& text) { warning = text; });
  EXPECT_EQ(found.folder, folder_ / "run/previous");
  EXPECT_EQ(found.state.step, 8);
  EXPECT_NE(warning.find("damaged"), std::string::npos) << warning;
  EXPECT_NE(warning.find("optimizer.safetensors"), std::string::npos) << warning;

  RunConfig again = config("run");
  again.resume = true;
  ASSERT_EQ(run(again), 0);
  expect_same_checkpoint("whole", "run");
}

TEST_F(TrainerTest, AChangedByteInWeightsOrStateIsFoundOut) {
  ASSERT_EQ(run(config("run")), 0);
  for (const char* file : {"model.safetensors", "config.json", "run_state.json"}) {
    const fs::path victim = folder_ / "run/last" / file;
    const std::string before = bytes(victim);
    std::string after = before;
    after[after.size() - 12] = static_cast<char>(after[after.size() - 12] ^ 1);
    write_file(victim, after);
    EXPECT_THROW(read_run_state(folder_ / "run/last"), std::invalid_argument) << file;
    write_file(victim, before);
    EXPECT_NO_THROW(read_run_state(folder_ / "run/last")) << file;
  }
}

TEST_F(TrainerTest, ResumeRefusesWhatWouldChangeTheRun) {
  RunConfig c = config("run");
  c.stop_at = 4;
  ASSERT_EQ(run(c), 0);
  c.resume = true;
  c.batch_size = 3;
  try {
    run(c);
    FAIL() << "batch_size changed silently";
  } catch (const std::invalid_argument& error) {
    EXPECT_NE(std::string(error.what()).find("batch_size"), std::string::npos) << error.what();
  }
  c.batch_size = 2;
  std::ofstream(folder_ / "stories.txt", std::ios::app) << "One more story.\n<|endoftext|>\n";
  EXPECT_THROW(run(c), std::invalid_argument) << "other data";
}

TEST_F(TrainerTest, AnExistingRunIsNotWrittenOver) {
  RunConfig c = config("run");
  c.stop_at = 2;
  ASSERT_EQ(run(c), 0);
  EXPECT_THROW(run(c), std::invalid_argument);
}

TEST_F(TrainerTest, ALossThatIsNotFiniteNamesOperationAndParameter) {
  RunConfig c = config("run");
  c.stop_at = 4;
  ASSERT_EQ(run(c), 0);
  // A model with one infinite weight, trained on.
  const ModelFolder poisoned = load_model_folder(folder_ / "run");
  poisoned.model->parameters().find("layers.1.ln2.weight")->data<float>()[3] = std::numeric_limits<float>::infinity();
  save_model_folder(folder_ / "poisoned", *poisoned.model, poisoned.tokenizer.get());
  RunConfig bad = config("bad");
  bad.model = (folder_ / "poisoned").string();
  try {
    run(bad);
    FAIL() << "trained on";
  } catch (const std::runtime_error& error) {
    const std::string text = error.what();
    EXPECT_NE(text.find("step 1: the loss is not finite"), std::string::npos) << text;
    EXPECT_NE(text.find("layer_norm"), std::string::npos) << text;
    EXPECT_NE(text.find("layers.1.ln2.weight"), std::string::npos) << text;
  }
  EXPECT_FALSE(has_checkpoint(folder_ / "bad"));
}

TEST_F(TrainerTest, BadDataAndLengthsAreOneClearLine) {
  const auto error_of = [&](const RunConfig& c) -> std::string {
    try {
      run(c);
    } catch (const std::exception& error) {
      return error.what();
    }
    return "no error";
  };
  RunConfig c = config("run");
  c.seq_len = 65;
  EXPECT_NE(error_of(c).find("--seq-len 65 is above the model's max_seq_len 64"), std::string::npos) << error_of(c);
  c = config("run");
  c.data = {(folder_ / "missing.txt").string()};
  EXPECT_NE(error_of(c).find("missing.txt"), std::string::npos) << error_of(c);
  write_file(folder_ / "short.txt", "Too short.");
  c.data = {(folder_ / "short.txt").string()};
  EXPECT_NE(error_of(c).find("short.txt"), std::string::npos) << error_of(c);
  EXPECT_FALSE(fs::exists(folder_ / "run")) << "nothing half-written";
}

// Prepares one training step of i3-tiny on random ids.
TEST(SteadyState, NothingIsAllocatedFromTheThirdStep) {
  const auto model = make_model(*preset_config("i3-tiny"));
  model->allocate();
  model->parameters().initialize(1);
  model->parameters().allocate_gradients();
  OptimizerOptions options;
  options.clip_norm = 1;
  Optimizer optimizer(model->parameters(), options);
  const Tensor ids = zeros({2, 32}, Dtype::i32);
  uint64_t requests = 0;
  for (int step = 0; step < 6; ++step) {
    StepState state;
    state.step = step;
    state.learning_rate = 1e-3f;
    model->parameters().zero_gradients();
    backward(model->loss(ids, ids));
    optimizer.measure(&state);
    optimizer.update(&state);
    if (step == 2) requests = allocator_of(kCpu).stats().system_requests;
  }
  EXPECT_EQ(allocator_of(kCpu).stats().system_requests, requests);
}

}  // namespace
}  // namespace vigor
