// The commands as scripts call them: outputs, JSON keys, and what is said about bad input.
#include <fmt/core.h>
#include <gtest/gtest.h>

#include <cctype>
#include <cmath>
#include <nlohmann/json.hpp>

#include "models/hf/model_folder.h"
#include "tensor/safetensors.h"
#include "tests/support/program.h"
#include "tests/support/testing.h"

namespace vigor::testing {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;

std::string fixture(const std::string& name) { return std::string(VIGOR_SOURCE_DIR) + "/tests/fixtures/i3/" + name; }

Json json_of(const std::vector<std::string>& arguments, const std::string& input = "") {
  const ProgramResult result = run_program(arguments, {.input = input});
  EXPECT_EQ(result.status, 0) << result.err;
  EXPECT_EQ(std::count(result.out.begin(), result.out.end(), '\n'), 1) << result.out;
  return Json::parse(result.out, nullptr, false);
}

class Cli : public ProgramTest {};

TEST_F(Cli, EveryCommandHasHelpWithExamples) {
  for (const char* command :
       {"train", "generate", "eval", "tokenize", "tokenizer", "info", "convert", "sweep", "profile"}) {
    const ProgramResult result = run_program({command, "--help"});
    EXPECT_EQ(result.status, 0) << command;
    EXPECT_NE(result.out.find("Examples:\n  vigor " + std::string(command)), std::string::npos) << result.out;
  }
  EXPECT_EQ(run_program({"--version"}).out.rfind("vigor ", 0), 0u);
}

TEST_F(Cli, AWrongCallExitsWith2) {
  expect_failure({}, 2, {"subcommand"});
  expect_failure({"dance"}, 2, {});
  expect_failure({"info", "--model", "i3-80m", "--jsn"}, 2, {"--jsn"});
  expect_failure({"info"}, 2, {"--model", "--build"});
  expect_failure({"info", "--model", model(), "--layers", "3"}, 2, {"--layers", "a folder has weights"});
  expect_failure({"generate"}, 2, {"--model"});
  expect_failure({"generate", "--model", model(), "--greedy", "--temperature", "1"}, 2, {"--greedy", "--temperature"});
  expect_failure({"generate", "--model", model(), "--window", "double"}, 2, {"--window"});
  expect_failure({"generate", "--model", model(), "--max-new-tokens", "many"}, 2, {"--max-new-tokens"});
  expect_failure({"generate", "--model", model(), "--prompt", ""}, 2, {"--prompt"});
  expect_failure({"generate", "--model", "i3-80m"}, 2, {"preset", "vigor train --model i3-80m"});
  expect_failure({"eval", "--model", model()}, 2, {"--data", "--ids"});
  expect_failure({"eval", "--model", model(), "--data", "x.txt", "--save-logits", "y"}, 2, {"--save-logits", "--ids"});
  expect_failure({"eval", "--model", model(), "--ids", "x", "--save-logits", "y", "--save-grads", "y"}, 2,
                 {"two files"});
  expect_failure({"convert", model()}, 2, {"OUT"});
  expect_failure({"convert", model(), file("out"), "--dtype", "f16"}, 2, {"--dtype"});
  expect_failure({"train", "--stpes", "3"}, 2, {"--stpes"});
  expect_failure({"train", "--steps", "0"}, 2, {"steps", "1"});
}

TEST_F(Cli, MissingModelsAreNamed) {
  expect_failure({"generate", "--model", file("nowhere")}, 1, {file("nowhere"), "does not exist"});
  expect_failure({"tokenize", "--model", path("stories.txt")}, 1, {"is a file"});
  expect_failure({"eval", "--model", folder_.string(), "--data", path("stories.txt")}, 1, {"config.json"});
  expect_failure({"info", "--model", "i4"}, 1, {"i4"});
}

// ---- info ----

TEST_F(Cli, InfoCountsThePublishedModels) {
  const Json info = json_of({"info", "--model", "i3-80m", "--json"});
  EXPECT_EQ(info["parameters"], 76861160);
  ASSERT_EQ(info["layers"].size(), 16u);
  EXPECT_EQ(info["layers"][0]["kind"], "hybrid");
  EXPECT_EQ(info["layers"][15]["kind"], "attention");
  EXPECT_GT(info["flops_per_token"], 2 * 50'000'000);
  int64_t sum = 0;
  for (const Json& layer : info["layers"]) sum += layer["parameters"].get<int64_t>();
  for (const Json& other : info["others"]) sum += other["parameters"].get<int64_t>();
  EXPECT_EQ(sum, info["parameters"]);
  EXPECT_EQ(info["memory"]["weights"], 4 * 76861160);
  EXPECT_EQ(info["memory"]["moments"], 8 * 76861160);
  EXPECT_GT(info["memory"]["activations"], 0);

  EXPECT_EQ(json_of({"info", "--model", "i3-80m", "--vocab-size", "41320", "--json"})["parameters"], 82765160);
  EXPECT_EQ(json_of({"info", "--model", "i3-22m", "--json"})["parameters"], 22613362);
  EXPECT_EQ(json_of({"info", "--model", "i3-80m", "--layers", "4", "--json"})["layers"].size(), 4u);
}

TEST_F(Cli, InfoReadsFoldersAndConfigFilesAndSaysWhatIsBuiltIn) {
  const Json folder = json_of({"info", "--model", model(), "--json"});
  EXPECT_EQ(folder["max_seq_len"], kMaxSeqLen);
  EXPECT_EQ(folder["layers"].size(), 2u);
  EXPECT_EQ(json_of({"info", "--model", model() + "/config.json", "--json"})["parameters"], folder["parameters"]);
  const std::string table = run_program({"info", "--model", model()}).out;
  EXPECT_NE(table.find("layers.1"), std::string::npos) << table;
  const Json build = json_of({"info", "--build", "--json"});
  EXPECT_TRUE(build["instruction_set"].is_string());
  EXPECT_GE(build["threads"], 1);
  EXPECT_EQ(build["cuda"].is_object(), kCudaBuild);
}

// ---- tokenize ----

TEST_F(Cli, TokenizeAndBack) {
  std::string text = generate_story(3, 0);  // one of those that the vocabulary was made from; it knows lower case only
  text.erase(text.find_last_not_of('\n') + 1);
  for (char& c : text) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  const ProgramResult ids = run_program({"tokenize", "--model", model(), "--json"}, {.input = text});
  const Json list = Json::parse(ids.out, nullptr, false);
  ASSERT_TRUE(list.is_array()) << ids.out << ids.err;
  EXPECT_EQ(list.get<std::vector<int32_t>>(), load_tokenizer(model())->encode(text));
  EXPECT_EQ(run_program({"tokenize", "--model", model(), "--decode"}, {.input = ids.out}).out, text);
  const std::string plain = run_program({"tokenize", "--model", model()}, {.input = text}).out;
  EXPECT_EQ(json_of({"tokenize", "--model", model(), "--decode", "--json"}, plain), text);
  EXPECT_EQ(run_program({"tokenize", "--model", model(), "--json"}).out, "[]\n");
}

TEST_F(Cli, TokenizeRefusesWhatIsNoId) {
  const auto refuse = [&](const std::string& input, const std::string& part) {
    expect_failure({"tokenize", "--model", model(), "--decode"}, 1, {"standard input", part}, {.input = input});
  };
  refuse("3 4 x", "id 2");
  refuse("99999999", "id 0");
  refuse("[1, -1]", "id 1: ids of this model are 0..");
  refuse("[1, [2]]", "a list");
  refuse("[1, 2", "not valid JSON");
}

// ---- tokenizer ----

TEST_F(Cli, TokenizerIsTrainedDescribedAndMeasured) {
  const std::string folder = file("bpe");
  const Json trained = json_of({"tokenizer", "train", "--vocab-size", "400", "--data", path("stories.txt"), "--out",
                                folder, "--special-token", "<end>", "--json"});
  ASSERT_EQ(trained.size(), 1u);
  EXPECT_GT(trained[0]["bytes_per_token"], 1.5);
  EXPECT_GT(trained[0]["tokens_per_word"], 1.0);

  const Json info = json_of({"tokenizer", "info", folder, "--json"});
  EXPECT_EQ(info["type"], "bpe");
  EXPECT_EQ(info["vocab_size"], 400);
  EXPECT_EQ(info["merges"], 400 - 257);
  EXPECT_EQ(info["special_tokens"]["<end>"], 0);
  EXPECT_EQ(info["end_id"], 0);
  EXPECT_EQ(json_of({"tokenizer", "info", model(), "--json"})["type"], "chunk");

  const Json both =
      json_of({"tokenizer", "report", "--tokenizer", folder, model(), "--data", path("stories.txt"), "--json"});
  ASSERT_EQ(both.size(), 2u);
  EXPECT_EQ(both[0]["tokens"], trained[0]["tokens"]);
  EXPECT_EQ(both[1]["words"], both[0]["words"]);
  EXPECT_NE(run_program({"tokenizer", "report", "--tokenizer", folder, "--data", path("stories.txt")})
                .out.find("bytes/token  text"),
            std::string::npos);

  const std::string text = "Once <end> \u4f60";
  const std::string ids = run_program({"tokenize", "--tokenizer", folder}, {.input = text}).out;
  EXPECT_EQ(run_program({"tokenize", "--tokenizer", folder, "--decode"}, {.input = ids}).out, text);
}

TEST_F(Cli, TokenizerOptionsAreChecked) {
  expect_failure({"tokenizer"}, 2, {"subcommand"});
  expect_failure({"tokenizer", "train", "--vocab-size", "257", "--out", file("x")}, 2, {"vocab_size", "259"});
  expect_failure({"tokenizer", "train", "--words", "bert", "--out", file("x")}, 2, {"--words"});
  expect_failure({"tokenizer", "info", file("nowhere")}, 1, {"nowhere"});
  expect_failure({"tokenize"}, 2, {"--model", "--tokenizer"});
  write_file(file("unigram.json"), R"({"merges": 0, "model": {"type": "Unigram", "vocab": [["a", 0]]}})");
  expect_failure({"tokenizer", "info", file("unigram.json")}, 1, {"type BPE"});
}

// ---- generate ----

TEST_F(Cli, GenerateContinuesAPrompt) {
  const std::vector<std::string> call = {"generate",  "--model",          model(), "--prompt",
                                         "once upon", "--max-new-tokens", "20"};
  const auto with = [&](std::vector<std::string> more) {
    more.insert(more.begin(), call.begin(), call.end());
    return run_program(more).out;
  };
  const std::string text = with({"--seed", "5"});
  EXPECT_EQ(text.rfind("once upon", 0), 0u) << text;
  EXPECT_EQ(text, with({"--seed", "5"}));
  EXPECT_NE(text, with({"--seed", "6"}));
  EXPECT_EQ(with({"--greedy"}), with({"--top-k", "1", "--seed", "9"}));
}

TEST_F(Cli, GenerateAsJsonGoesPastTheLongestSequence) {
  for (const std::string window : {"half", "exact"}) {
    const ProgramResult result = run_program({"generate", "--model", model(), "--prompt", "a dog", "--max-new-tokens",
                                              "80", "--window", window, "--json", "--stats"});
    ASSERT_EQ(result.status, 0) << result.err;
    const Json answer = Json::parse(result.out, nullptr, false);
    EXPECT_EQ(answer["prompt"], "a dog");
    EXPECT_EQ(answer["tokens"], 80);
    EXPECT_FALSE(answer["text"].get<std::string>().empty());
    const size_t announced = result.err.find("has outgrown the model's 32 tokens");
    EXPECT_NE(announced, std::string::npos) << result.err;
    EXPECT_EQ(result.err.find("outgrown", announced + 20), std::string::npos) << "announced once";
    EXPECT_NE(result.err.find("tokens/s"), std::string::npos) << result.err;
  }
}

TEST_F(Cli, GenerateWithoutAPromptContinuesEveryLine) {
  const ProgramResult result = run_program({"generate", "--model", model(), "--max-new-tokens", "3", "--json"},
                                           {.input = "one dog\n\ntwo cats\n"});
  ASSERT_EQ(result.status, 0) << result.err;
  const size_t end = result.out.find('\n');
  EXPECT_EQ(Json::parse(result.out.substr(0, end))["prompt"], "one dog");
  EXPECT_EQ(Json::parse(result.out.substr(end))["prompt"], "two cats");
}

TEST_F(Cli, GenerateEndsAtAStopString) {
  const auto with = [&](const std::vector<std::string>& more) {
    std::vector<std::string> call = {"generate",
                                     "--model",
                                     model(),
                                     "--prompt",
                                     "a dog",
                                     "--json",
                                     "--prefill-chunk",
                                     "1",
                                     "--min-p",
                                     "0.01",
                                     "--repetition-penalty",
                                     "1.1"};
    call.insert(call.end(), more.begin(), more.end());
    return json_of(call);
  };
  const Json all = with({});
  const std::string text = all["text"], stop = text.substr(text.size() / 2, 2);
  EXPECT_EQ(all["end"], "max_new_tokens");
  const Json cut = with({"--stop", "not there", "--stop", stop});
  EXPECT_EQ(cut["text"], text.substr(0, text.find(stop)));
  EXPECT_EQ(cut["end"], "stop_string");
  expect_failure({"generate", "--model", model(), "--prompt", "a", "--stop", ""}, 1, {"stop string"});
}

TEST_F(Cli, GenerateChats) {
  const std::string chat_template =
      write("template.jinja", "{% for m in messages %}{{ m.role }}:{{ m.content }}\n{% endfor %}assistant:");
  const std::vector<std::string> call = {"generate",        "--model",          model(),  "--chat",
                                         "--chat-template", chat_template,      "--json", "--system",
                                         "be a story",      "--max-new-tokens", "4"};
  const ProgramResult result = run_program(call, {.input = "hello\n\nand then\n"});
  ASSERT_EQ(result.status, 0) << result.err;
  const size_t end = result.out.find('\n');
  const Json first = Json::parse(result.out.substr(0, end)), second = Json::parse(result.out.substr(end));
  EXPECT_EQ(first["prompt"], "hello");
  EXPECT_EQ(second["prompt"], "and then");
  // Only the second turn goes through the model, not what was there before it.
  const auto tokenizer = load_tokenizer(model());
  EXPECT_EQ(second["prompt_tokens"], tokenizer->encode("\nuser:and then\nassistant:").size());
  std::vector<std::string> once = call;
  once.erase(std::find(once.begin(), once.end(), "--json"));
  once.insert(once.end(), {"--prompt", "hello"});
  EXPECT_EQ(run_program(once).out, first["text"].get<std::string>() + "\n");  // the answer and nothing else
  expect_failure({"generate", "--model", model(), "--chat", "--prompt", "a"}, 1, {"chat template", "--chat-template"});
  expect_failure({"generate", "--model", model(), "--system", "a"}, 2, {"--system", "--chat"});
  const std::string broken = write("broken.jinja", "{% if %}");
  expect_failure({"generate", "--model", model(), "--chat", "--chat-template", broken}, 1, {"broken.jinja", "line 1"});
}

// ---- eval ----

TEST_F(Cli, EvalCountsEveryTokenOnce) {
  const std::string text =
      "the little dog went home and slept until the morning came, and then it ate a big breakfast.";
  const auto tokenizer = load_tokenizer(model());
  const std::vector<int32_t> all_ids = tokenizer->encode(text);
  const auto tokens = static_cast<int64_t>(all_ids.size());
  double bytes = 0;  // of all but the first, which nothing predicts
  for (int64_t i = 1; i < tokens; ++i) bytes += static_cast<double>(tokenizer->token_bytes(all_ids[i]).size());
  const std::string data = write("text.txt", text);
  for (const char* seq_len : {"32", "5", "1"}) {
    const Json result = json_of({"eval", "--model", model(), "--data", data, "--json", "--seq-len", seq_len});
    EXPECT_EQ(result["tokens"], tokens - 1);
    EXPECT_NEAR(result["perplexity"].get<double>(), std::exp(result["loss"].get<double>()), 1e-6);
    EXPECT_NEAR(result["bits_per_byte"].get<double>() * bytes * std::log(2.0),
                result["loss"].get<double>() * static_cast<double>(tokens - 1), 1e-3);
  }
  // Equal to the loss of the same ids, where one window holds them all.
  const std::string first = run_program({"tokenize", "--model", model(), "--json"}, {.input = text.substr(0, 40)}).out;
  const std::string ids = write("ids.json", "[" + first + "]");
  const std::string part = write("part.txt", text.substr(0, 40));
  EXPECT_NEAR(json_of({"eval", "--model", model(), "--ids", ids})["loss"].get<double>(),
              json_of({"eval", "--model", model(), "--data", part, "--json"})["loss"].get<double>(), 1e-6);
}

TEST_F(Cli, EvalOfIdsAgreesWithPyTorch) {
  const SafetensorsFile expected = SafetensorsFile::open(fixture("mixed") + "/expected.safetensors");
  const Tensor ids = expected.tensor("ids");  // [B,T]
  Json rows = Json::array();
  const std::vector<int64_t> values = ids.to_vector<int64_t>();
  for (auto row = values.begin(); row != values.end(); row += ids.size(1))
    rows.push_back(std::vector<int64_t>(row, row + ids.size(1)));
  const Json result = json_of({"eval", "--model", fixture("mixed"), "--ids", write("ids.json", rows.dump()),
                               "--save-logits", file("l.safetensors"), "--save-grads", file("g.safetensors")});
  EXPECT_NEAR(result["loss"].get<double>(), expected.tensor("loss").item<float>(), 1e-5);
  EXPECT_EQ(result["tokens"], ids.size(0) * (ids.size(1) - 1));

  const SafetensorsFile logits = SafetensorsFile::open(file("l.safetensors"));
  ASSERT_EQ(logits.entries().size(), 1u);
  expect_close(logits.tensor("logits"), expected.tensor("logits"), 1e-5, 1e-4);
  const SafetensorsFile gradients = SafetensorsFile::open(file("g.safetensors"));
  const SafetensorsFile weights = SafetensorsFile::open(fixture("mixed") + "/model.safetensors");
  ASSERT_EQ(gradients.entries().size(), weights.entries().size());
  for (const TensorEntry& entry : weights.entries()) {
    SCOPED_TRACE(entry.name);
    expect_close(gradients.tensor(entry.name), expected.tensor("grad." + entry.name), 1e-5, 1e-3);
  }
}

TEST_F(Cli, EvalRefusesBadIds) {
  const auto refuse = [&](const std::string& json, const std::string& part) {
    expect_failure({"eval", "--model", model(), "--ids", write("ids.json", json)}, 1, {"ids.json", part});
  };
  refuse("", "not valid JSON");
  refuse("{\"ids\": [[1]]}", "must be a list of lists of ids; got an object");
  refuse("[]", "got none");
  refuse("[1, 2]", "row 0 must be a list of ids; got 1");
  refuse("[[1, 2], [3]]", "row 0 has 2 ids and row 1 has 1");
  refuse("[[1, 2], [3, \"x\"]]", "row 1, position 1: an id must be a whole number; got a string");
  refuse("[[1, 2.5]]", "row 0, position 1");
  refuse("[[1, 100000]]", "ids of this model are 0..");
  refuse("[[1, 18446744073709551615]]", "ids of this model are 0..");
  refuse("[[7]]", "rows must have 2 to 32 ids (max_seq_len); got 1");
  refuse(fmt::format("[{}]", Json(std::vector<int>(33, 1)).dump()), "got 33");
  refuse(std::string(200'000, '['), "a list");
  expect_failure({"eval", "--model", model(), "--ids", file("none.json")}, 1, {"none.json"});
}

// ---- data and run.json ----

TEST_F(Cli, BadDataIsNamed) {
  const auto refuse = [&](const std::string& data, const std::vector<std::string>& parts) {
    expect_failure({"eval", "--model", model(), "--data", data}, 1, parts);
    std::vector<std::string> call = train_call(file("out"), 2);
    *(std::find(call.begin(), call.end(), "--data") + 1) = data;
    expect_failure(call, 1, parts);
    EXPECT_FALSE(fs::exists(file("out"))) << "nothing half-written";
  };
  refuse(file("none.txt"), {"none.txt", "does not exist"});
  refuse(write("empty.txt", ""), {"empty.txt", "no text"});
  refuse(write("blank.txt", "\n \n\n"), {"blank.txt", "no text"});
  refuse(write("list.jsonl", "{\"text\": \"a\"}\n[1]\n"), {"list.jsonl:2"});
  refuse(write("number.jsonl", "{\"text\": 5}\n"), {"number.jsonl:1", "must be a string"});
  refuse(write("table.parquet", "PAR1"), {".txt or .jsonl"});
}

TEST_F(Cli, TextShorterThanASequence) {
  std::vector<std::string> call = train_call(file("out"), 2);
  *(std::find(call.begin(), call.end(), "--data") + 1) = write("short.txt", "a little dog");
  expect_failure(call, 1, {"a sequence of 16 needs 17 ids", "short.txt"});
  expect_failure({"eval", "--model", model(), "--data", write("one.txt", "a")}, 1, {"at least 2 ids"});
  expect_failure(train_call(file("out"), 2, {"--max-seq-len", "8"}), 1, {"--seq-len 16", "max_seq_len 8"});
  expect_failure({"eval", "--model", model(), "--data", path("stories.txt"), "--seq-len", "64"}, 1,
                 {"64", "max_seq_len 32"});
  EXPECT_FALSE(fs::exists(file("out")));
}

TEST_F(Cli, RunJsonIsChecked) {
  const auto refuse = [&](const std::string& json, const std::vector<std::string>& parts) {
    expect_failure({"train", "--config", write("run.json", json), "--out", file("out")}, 2, parts);
  };
  refuse("{\"stpes\": 5, \"lr\": \"fast\"}", {"unknown key 'stpes'", "'steps'", "'lr' must be a number"});
  refuse("[]", {"run.json", "object"});
  refuse("{", {"run.json", "not valid JSON"});
  expect_failure({"train", "--config", file("none.json")}, 1, {"none.json"});
}

// ---- damaged models ----

TEST_F(Cli, DamagedWeightsAreRefused) {
  const auto refuse = [&](const std::string& folder, const std::vector<std::string>& parts) {
    expect_failure({"generate", "--model", folder, "--prompt", "a"}, 1, parts);
    expect_failure({"convert", folder, file("out")}, 1, parts);
    EXPECT_FALSE(fs::exists(file("out")));
  };
  const std::string cut = copy_of_model("cut");
  fs::resize_file(cut + "/model.safetensors", fs::file_size(cut + "/model.safetensors") - 100);
  refuse(cut, {"model.safetensors", "cut off"});
  const std::string header = copy_of_model("header");
  std::string bytes = read_text(header + "/model.safetensors", 1 << 24);
  bytes[20] = '\x01';
  write_file(header + "/model.safetensors", bytes);
  refuse(header, {"model.safetensors"});
  const std::string absent = copy_of_model("absent");
  fs::remove(absent + "/model.safetensors");
  refuse(absent, {"absent"});

  fs::copy(fixture("pickled_prefixed"), file("zip"));
  const std::string zip = file("zip") + "/pytorch_model.bin";
  fs::permissions(zip, fs::perms::owner_write, fs::perm_options::add);
  fs::resize_file(zip, fs::file_size(zip) / 2);
  const std::string ids = write("ids.json", "[[1, 2, 3]]");
  expect_failure({"eval", "--model", file("zip"), "--ids", ids}, 1, {"pytorch_model.bin", "damaged"});
}

TEST_F(Cli, EveryWeightThatDoesNotFitIsListed) {
  const std::string folder = copy_of_model("m");
  const SafetensorsFile weights = SafetensorsFile::open(model() + "/model.safetensors");
  std::vector<NamedView> changed;
  const Tensor small = zeros({3}), other = zeros({2, 2});
  for (const TensorEntry& entry : weights.entries()) {
    if (entry.name == "layers.0.ln1.weight" || entry.name == "head.bias") continue;
    changed.push_back({entry.name, entry.name == "ln_f.weight" ? small.view() : weights.tensor(entry.name).view()});
  }
  changed.push_back({"layers.7.extra", other.view()});
  write_safetensors(folder + "/model.safetensors", changed);
  expect_failure({"generate", "--model", folder, "--prompt", "a"}, 1,
                 {"layers.0.ln1.weight", "head.bias", "layers.7.extra", "ln_f.weight is [3] and must be [16]"});
}

TEST_F(Cli, TheVocabularyMustFitTheModel) {
  const std::string folder = copy_of_model("m");
  Json config = Json::parse(read_text(folder + "/config.json", 1 << 16));
  config["vocab_size"] = 7;
  write_file(folder + "/config.json", config.dump());
  expect_failure({"generate", "--model", folder, "--prompt", "a"}, 1, {"tokenizer", "vocab_size", "7"});
  fs::remove(folder + "/chunk_vocab_combined.json");
  expect_failure({"generate", "--model", folder, "--prompt", "a"}, 1, {"chunk_vocab_combined.json"});
}

// ---- convert ----

TEST_F(Cli, ConvertIsBitIdenticalInF32AndReplacesOnlyModels) {
  const std::string copy = file("copy");
  EXPECT_EQ(run_program({"convert", model(), copy}).status, 0);
  for (const char* part : {"model.safetensors", "chunk_vocab_combined.json"})
    EXPECT_EQ(read_text(copy + "/" + part, 1 << 24), read_text(model() + "/" + part, 1 << 24)) << part;

  EXPECT_EQ(run_program({"convert", copy, copy + "-bf16/", "--dtype", "bf16"}).status, 0);
  const SafetensorsFile half = SafetensorsFile::open(copy + "-bf16/model.safetensors");
  EXPECT_EQ(half.find("head.weight")->dtype(), Dtype::bf16);
  EXPECT_EQ(run_program({"convert", copy + "-bf16", copy}).status, 0) << "a saved model is replaced";

  const ProgramResult pickled = run_program({"convert", fixture("pickled_prefixed"), file("unpickled")});
  EXPECT_EQ(pickled.status, 0) << pickled.err;
  EXPECT_NE(pickled.err.find("warning"), std::string::npos) << "d_state is not what config.json says";
  EXPECT_NE(SafetensorsFile::open(file("unpickled") + "/model.safetensors").find("embed.weight"), nullptr);
}

TEST_F(Cli, ConvertKeepsWhatIsNotAModel) {
  const std::string copy = copy_of_model("copy");
  expect_failure({"convert", copy, copy}, 2, {"OUT"});
  expect_failure({"convert", copy, folder_.string(), "--force"}, 2, {"OUT"});
  fs::create_directories(folder_ / "notes");
  const std::string note = write("notes/note.txt", "mine");
  expect_failure({"convert", copy, file("notes")}, 2, {"--force"});
  expect_failure({"convert", copy, note}, 2, {"is a file"});
  expect_failure({"convert", copy, model()}, 2, {"--force"});  // a training run with its checkpoints
  EXPECT_EQ(read_text(note, 100), "mine");
  EXPECT_EQ(run_program({"convert", copy, file("notes"), "--force"}).status, 0);
  EXPECT_FALSE(fs::exists(note));
}

}  // namespace
}  // namespace vigor::testing
