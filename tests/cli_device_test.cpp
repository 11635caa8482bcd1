// --device and --dtype of the built program, and `vigor emulate`: on a machine without a GPU, with one, and in a build
// without CUDA.
#include <nlohmann/json.hpp>

#include "tensor/device.h"
#include "tensor/safetensors.h"
#include "tests/support/program.h"
#include "tests/support/testing.h"

namespace vigor::testing {
namespace {

class Devices : public ProgramTest {
 protected:
  static std::string content(const std::string& path) { return read_text(path, size_t{1} << 30); }
  // Losses of the run's lines.
  static std::vector<double> losses(const std::string& out) {
    std::vector<double> values;
    std::istringstream lines(content(out + "/metrics.jsonl"));
    for (std::string line; std::getline(lines, line);) values.push_back(nlohmann::json::parse(line)["loss"]);
    return values;
  }
  static void expect_near_losses(const std::vector<double>& a, const std::vector<double>& b, double relative) {
    ASSERT_EQ(a.size(), b.size());
    for (size_t i = 0; i < a.size(); ++i) EXPECT_NEAR(a[i], b[i], relative * b[i]) << "line " << i;
  }
  void train_on(const std::string& name, const std::vector<std::string>& more) {
    std::vector<std::string> call = train_call(file(name), 4, {"--log-every", "1", "--save-every", "0"});
    call.insert(call.end(), more.begin(), more.end());
    const ProgramResult result = run_program(call);
    ASSERT_EQ(result.status, 0) << result.err;
  }
};

TEST_F(Devices, CudaIsNeverTheEmulatedOne) {
  if (cuda_problem().empty()) GTEST_SKIP() << "this machine has a GPU";
  const std::vector<std::string> call = {"generate", "--model", model(), "--prompt", "a", "--device", "cuda"};
  expect_failure(call, 1, {"--device cuda", "--device emulated"});
}

TEST_F(Devices, UnknownNamesAreRefused) {
  expect_failure(train_call(file("out"), 1, {"--device", "gpu"}), 2, {"device must be auto, cpu, cuda or emulated"});
  expect_failure(train_call(file("out"), 1, {"--dtype", "f16"}), 2, {"dtype must be f32 or bf16"});
  expect_failure(train_call(file("out"), 1, {"--stochastic-rounding"}), 2, {"stochastic_rounding needs dtype bf16"});
  expect_failure(train_call(file("out"), 1, {"--device", "cpu", "--cuda-graph"}), 1, {"--cuda-graph needs"});
}

TEST_F(Devices, Bf16TrainsOnTheCpuLikeF32AndResumesBitIdentically) {
  train_on("f32", {"--device", "cpu"});
  for (const std::vector<std::string>& rounding : {std::vector<std::string>{}, {"--stochastic-rounding"}}) {
    SCOPED_TRACE(rounding.empty() ? "to nearest" : "stochastic");
    std::vector<std::string> options = {"--device", "cpu", "--dtype", "bf16"};
    options.insert(options.end(), rounding.begin(), rounding.end());
    const std::string whole = rounding.empty() ? "bf16" : "bf16s", part = whole + "-part";
    train_on(whole, options);
    expect_near_losses(losses(file(whole)), losses(file("f32")), 0.02);
    std::vector<std::string> stopped = options;
    stopped.insert(stopped.end(), {"--stop-at", "2"});
    train_on(part, stopped);
    const ProgramResult resumed = run_program({"train", "--out", file(part), "--resume"});
    ASSERT_EQ(resumed.status, 0) << resumed.err;
    EXPECT_EQ(content(file(whole) + "/model.safetensors"), content(file(part) + "/model.safetensors"));
  }
  // Checkpoints hold the f32 masters.
  const auto saved = SafetensorsFile::open(file("bf16") + "/model.safetensors");
  EXPECT_EQ(saved.tensor("embed.weight").dtype(), Dtype::f32);
}

TEST_F(Devices, WithoutTheCudaHalfEmulatedSaysSo) {
  if (kCudaBuild) GTEST_SKIP() << "this build has it";
  expect_failure(train_call(file("out"), 1, {"--device", "emulated"}), 1, {"no CUDA half"});
  expect_failure({"emulate", "/bin/true"}, 1, {"no emulated device", "VIGOR_CUDA=on"});
}

class EmulatedDevice : public Devices {
 protected:
  void SetUp() override {
    if (!kCudaBuild) GTEST_SKIP() << "this build has no CUDA half";
    Devices::SetUp();
  }
};

// With dropout, whose masks change at each replay of a captured step, and two batches a step.
TEST_F(EmulatedDevice, TrainsLikeTheCpuAlsoCapturedResumedAndInBf16) {
  const auto train_on = [&](const std::string& name, std::vector<std::string> more) {
    more.insert(more.end(), {"--dropout", "0.1", "--accumulate", "2"});
    Devices::train_on(name, more);
  };
  train_on("cpu", {"--device", "cpu"});
  train_on("emulated", {"--device", "emulated"});
  expect_near_losses(losses(file("emulated")), losses(file("cpu")), 1e-5);
  const std::string weights = content(file("emulated") + "/model.safetensors");

  train_on("graph", {"--device", "emulated", "--cuda-graph"});
  EXPECT_EQ(content(file("graph") + "/model.safetensors"), weights);

  train_on("part", {"--device", "emulated", "--stop-at", "2"});
  const ProgramResult resumed = run_program({"train", "--out", file("part"), "--resume", "--device", "emulated"});
  ASSERT_EQ(resumed.status, 0) << resumed.err;
  EXPECT_EQ(content(file("part") + "/model.safetensors"), weights);

  train_on("bf16", {"--device", "emulated", "--dtype", "bf16"});
  expect_near_losses(losses(file("bf16")), losses(file("cpu")), 0.02);
}

TEST_F(EmulatedDevice, GeneratesAndEvaluatesLikeTheCpu) {
  std::vector<std::string> texts, results;
  for (const char* device : {"cpu", "emulated"}) {
    const ProgramResult text = run_program({"generate", "--model", model(), "--prompt", "once upon a time", "--greedy",
                                            "--max-new-tokens", "5", "--device", device});
    ASSERT_EQ(text.status, 0) << text.err;
    texts.push_back(text.out);
    const ProgramResult loss =
        run_program({"eval", "--model", model(), "--ids", write("ids.json", "[[1,2,3,4,5,6]]"), "--device", device});
    ASSERT_EQ(loss.status, 0) << loss.err;
    results.push_back(loss.out);
  }
  EXPECT_EQ(texts[0], texts[1]);
  const auto loss = [&](size_t i) { return nlohmann::json::parse(results[i])["loss"].get<double>(); };
  EXPECT_NEAR(loss(0), loss(1), 1e-5 * loss(0));
}

TEST_F(EmulatedDevice, FalconH1TrainsAndGeneratesLikeTheCpu) {
  const std::string config =
      write("falcon.json",
            R"({"model_type": "falcon_h1", "vocab_size": 3000, "hidden_size": 16, "num_hidden_layers": 2,)"
            R"( "num_attention_heads": 2, "num_key_value_heads": 1, "head_dim": 8, "intermediate_size": 24,)"
            R"( "mamba_d_ssm": 32, "mamba_n_heads": 4, "mamba_d_head": 8, "mamba_d_state": 8, "mamba_n_groups": 2,)"
            R"( "mamba_rms_norm": true, "max_position_embeddings": 64, "tie_word_embeddings": true})");
  std::vector<std::string> texts;
  for (const std::string device : {"cpu", "emulated"}) {
    std::vector<std::string> call = train_call(file(device), 4, {"--log-every", "1", "--save-every", "0"});
    *std::next(std::find(call.begin(), call.end(), "--model")) = config;
    call.insert(call.end(), {"--device", device});
    const ProgramResult trained = run_program(call);
    ASSERT_EQ(trained.status, 0) << trained.err;
    // Both continue the CPU's model: generation is compared, not four steps of training.
    const ProgramResult text = run_program({"generate", "--model", file("cpu"), "--prompt", "once upon a time",
                                            "--greedy", "--max-new-tokens", "5", "--device", device});
    ASSERT_EQ(text.status, 0) << text.err;
    texts.push_back(text.out);
  }
  expect_near_losses(losses(file("emulated")), losses(file("cpu")), 1e-5);
  EXPECT_EQ(texts[0], texts[1]);
}

TEST_F(EmulatedDevice, EmulateRunsProgramsAndRefusesOtherFiles) {
  const ProgramResult result = run_program({"emulate", "/bin/echo", "--check", "hello"});
  EXPECT_EQ(result.status, 0);
  EXPECT_EQ(result.out, "--check hello\n");  // what follows the program is the program's
  EXPECT_NE(result.err.find("no device code"), std::string::npos) << result.err;
  expect_failure({"emulate", "/nowhere/program"}, 1, {"/nowhere/program", "is not a file"});
  expect_failure({"emulate", write("text", "not a program")}, 1, {"ELF"});
}

}  // namespace
}  // namespace vigor::testing
