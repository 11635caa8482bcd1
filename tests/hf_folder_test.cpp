// Model folders: written and read back, refused with everything that is wrong with them.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "models/families.h"
#include "models/hf/model_folder.h"
#include "models/i3/i3_config.h"
#include "models/tokenizer/chunk_tokenizer.h"
#include "tensor/bf16.h"
#include "tensor/safetensors.h"
#include "tests/support/temporary_folder.h"
#include "tests/support/testing.h"

namespace vigor {
namespace {

namespace fs = std::filesystem;
using testing::expect_close;
using testing::expect_equal;
using testing::expect_error;

class ModelFolderTest : public ::testing::Test {
 protected:
  void SetUp() override {
    const auto config = parse_config(
        R"({"model_type":"i3","vocab_size":5,"d_model":6,"n_heads":2,"max_seq_len":4,"d_state":3,"conv_layers":1,)"
        R"("attn_layers":1,"note":{"kept":[1,2.5]}})",
        "test");
    model_ = make_model(*config);
    model_->allocate();
    model_->parameters().initialize(9);
    tokenizer_ = std::make_unique<ChunkTokenizer>(std::vector<std::string>{"<UNK>", "a", "ab", "b", "the"});
  }

  fs::path saved(Dtype dtype = Dtype::f32) {
    save_model_folder(folder_ / "m", *model_, tokenizer_.get(), {dtype});
    return folder_ / "m";
  }
  // The model's weights as a list that a test can change before it writes them.
  std::vector<std::pair<std::string, Tensor>> weights() const {
    std::vector<std::pair<std::string, Tensor>> result;
    for (const ArenaSlot& slot : model_->parameters().parameters()) result.push_back({slot.name, slot.tensor});
    return result;
  }
  static void write(const fs::path& file, const std::vector<std::pair<std::string, Tensor>>& tensors) {
    std::vector<NamedView> views;
    for (const auto& [name, tensor] : tensors) views.push_back({name, tensor.view()});
    write_safetensors(file, views);
  }
  void expect_same_weights(const LanguageModel& other) const {
    for (const ArenaSlot& slot : model_->parameters().parameters()) {
      SCOPED_TRACE(slot.name);
      expect_equal(*other.parameters().find(slot.name), slot.tensor);
    }
  }

  const testing::TemporaryFolder temporary_;
  const fs::path folder_ = temporary_.path();
  std::unique_ptr<LanguageModel> model_;
  std::unique_ptr<ChunkTokenizer> tokenizer_;
};

std::string content(const fs::path& file) { return read_text(file, 1 << 20); }

TEST_F(ModelFolderTest, SavesAndLoadsBitIdentically) {
  const fs::path folder = saved();
  const ModelFolder loaded = load_model_folder(folder);
  EXPECT_TRUE(loaded.warnings.empty());
  expect_same_weights(*loaded.model);
  EXPECT_EQ(loaded.tokenizer->fingerprint(), tokenizer_->fingerprint());
  EXPECT_NE(content(folder / "config.json").find("\"kept\""), std::string::npos);
  // Once more: the files themselves are equal.
  save_model_folder(folder_ / "again", *loaded.model, loaded.tokenizer.get());
  for (const char* file : {"config.json", "model.safetensors", "chunk_vocab_combined.json"})
    EXPECT_EQ(content(folder / file), content(folder_ / "again" / file)) << file;
}

TEST_F(ModelFolderTest, SavesOverAnOldFolder) {
  saved();
  model_->parameters().initialize(10);
  expect_same_weights(*load_model_folder(saved()).model);
}

TEST_F(ModelFolderTest, SavesAndLoadsBf16) {
  const fs::path folder = saved(Dtype::bf16);
  EXPECT_NE(content(folder / "config.json").find("\"torch_dtype\": \"bfloat16\""), std::string::npos);
  const ModelFolder loaded = load_model_folder(folder);
  for (const ArenaSlot& slot : model_->parameters().parameters()) {
    const Tensor& read = *loaded.model->parameters().find(slot.name);
    EXPECT_EQ(read.dtype(), Dtype::f32);
    expect_equal(read, testing::converted(testing::converted(slot.tensor, Dtype::bf16), Dtype::f32));
  }
  expect_error([&] { save_model_folder(folder_ / "x", *model_, nullptr, {Dtype::f16}); }, {"f32 or bf16", "f16"});
  EXPECT_FALSE(fs::exists(folder_ / "x"));
}

TEST_F(ModelFolderTest, SavesShards) {
  SaveOptions options;
  options.max_shard_bytes = 600;  // some tensors are larger, and get a file of their own
  save_model_folder(folder_ / "m", *model_, tokenizer_.get(), options);
  EXPECT_FALSE(fs::exists(folder_ / "m" / "model.safetensors"));
  int shards = 0;
  int64_t total = 0;
  for (const fs::directory_entry& entry : fs::directory_iterator(folder_ / "m")) {
    if (entry.path().extension() != ".safetensors") continue;
    ++shards;
    const SafetensorsFile file = SafetensorsFile::open(entry.path());
    int64_t nbytes = 0;
    for (const TensorEntry& tensor : file.entries()) nbytes += static_cast<int64_t>(tensor.bytes.size());
    EXPECT_TRUE(nbytes <= 600 || file.entries().size() == 1) << entry.path();
    total += nbytes;
  }
  EXPECT_GT(shards, 2);
  EXPECT_EQ(total, 4 * model_->parameter_count());
  const std::string index = content(folder_ / "m" / "model.safetensors.index.json");
  EXPECT_NE(index.find(fmt::format("\"total_size\": {}", total)), std::string::npos) << index;
  expect_same_weights(*load_model_folder(folder_ / "m").model);
  options.max_shard_bytes = 1 << 20;  // all fits into one
  save_model_folder(folder_ / "m", *model_, tokenizer_.get(), options);
  EXPECT_TRUE(fs::exists(folder_ / "m" / "model.safetensors"));
  EXPECT_FALSE(fs::exists(folder_ / "m" / "model.safetensors.index.json"));
}

TEST_F(ModelFolderTest, ReadsPrefixedNamesShardsAndF16) {
  const fs::path folder = saved();
  auto tensors = weights();
  for (auto& [name, tensor] : tensors) name = "i3." + name;
  write(folder / "model.safetensors", tensors);
  expect_same_weights(*load_model_folder(folder).model);

  fs::remove(folder / "model.safetensors");
  const auto middle = tensors.begin() + 5;
  write(folder / "model-00001-of-00002.safetensors", {tensors.begin(), middle});
  write(folder / "model-00002-of-00002.safetensors", {middle, tensors.end()});
  std::string map;
  for (size_t i = 0; i < tensors.size(); ++i)
    map += fmt::format("{}\"{}\": \"model-0000{}-of-00002.safetensors\"", i == 0 ? "" : ",", tensors[i].first,
                       i < 5 ? 1 : 2);
  write_file(folder / "model.safetensors.index.json", "{\"weight_map\": {" + map + "}}");
  expect_same_weights(*load_model_folder(folder).model);

  for (auto& [name, tensor] : tensors) tensor = testing::converted(tensor, Dtype::f16);
  write(folder / "model.safetensors", tensors);
  const ModelFolder half = load_model_folder(folder);
  expect_close(*half.model->parameters().find("head.weight"), *model_->parameters().find("head.weight"), 1e-6, 1e-3);
}

TEST_F(ModelFolderTest, ListsEverythingWrongWithTheWeights) {
  const fs::path folder = saved();
  auto tensors = weights();
  const auto at = [&](const std::string& name) {
    return std::find_if(tensors.begin(), tensors.end(), [&](const auto& entry) { return entry.first == name; });
  };
  tensors.erase(at("layers.0.hybrid.D"));
  tensors.erase(at("ln_f.bias"));
  at("head.bias")->second = zeros({7});
  at("layers.1.attn.qkv.weight")->second = zeros({18, 7});
  at("embed.weight")->second = zeros({5, 6}, Dtype::i32);
  tensors.push_back({"layers.0.hybrid.E", zeros({2})});
  tensors.push_back({"extra", zeros({2})});
  write(folder / "model.safetensors", tensors);
  expect_error([&] { load_model_folder(folder); },
               {"model.safetensors", "2 missing: layers.0.hybrid.D, ln_f.bias",
                "2 unexpected: extra, layers.0.hybrid.E", "2 of a wrong shape:", "head.bias is [7] and must be [5]",
                "layers.1.attn.qkv.weight is [18,7] and must be [18,6]", "1 of a wrong dtype: embed.weight is I32"});
}

TEST_F(ModelFolderTest, ShapesWinForTheStateWidthOnly) {
  const fs::path folder = saved();
  std::string config = content(folder / "config.json");
  const std::string right = "\"d_state\": 3";
  config.replace(config.find(right), right.size(), "\"d_state\": 64");
  write_file(folder / "config.json", config);
  const ModelFolder loaded = load_model_folder(folder);
  ASSERT_EQ(loaded.warnings.size(), 1u);
  EXPECT_NE(loaded.warnings[0].find("64"), std::string::npos);
  EXPECT_EQ(dynamic_cast<const I3Config&>(loaded.model->config()).d_state, 3);
  expect_same_weights(*loaded.model);
  const std::string length = "\"max_seq_len\": 4";
  config.replace(config.find(length), length.size(), "\"max_seq_len\": 8");
  write_file(folder / "config.json", config);
  expect_error([&] { load_model_folder(folder); }, {"pos_embed.weight is [4,6] and must be [8,6]"});
}

TEST_F(ModelFolderTest, VocabularyMustFit) {
  const fs::path folder = saved();
  ChunkTokenizer({"<UNK>", "a", "b"}).save(folder);
  expect_error([&] { load_model_folder(folder); }, {"3 tokens", "vocab_size", "5"});
  const ChunkTokenizer small({"<UNK>", "a"});
  expect_error([&] { save_model_folder(folder_ / "x", *model_, &small); }, {"2 tokens", "5"});
  fs::remove(folder / "chunk_vocab_combined.json");
  EXPECT_THROW(load_model_folder(folder), std::invalid_argument);
  LoadOptions ids_only;
  ids_only.need_tokenizer = false;
  EXPECT_EQ(load_model_folder(folder, ids_only).tokenizer, nullptr);
}

TEST_F(ModelFolderTest, MissingFilesAreNamed) {
  EXPECT_ANY_THROW(load_model_folder(folder_ / "nothing"));
  const fs::path folder = saved();
  fs::remove(folder / "model.safetensors");
  expect_error([&] { load_model_folder(folder); },
               {"model.safetensors", "pytorch_model.bin", "pytorch_model_best.bin"});
  fs::remove(folder / "config.json");
  expect_error<std::runtime_error>([&] { load_model_folder(folder); }, {"config.json"});
}

TEST_F(ModelFolderTest, HugeConfigurationCostsNothingBeforeItIsRefused) {
  const fs::path folder = saved();
  fs::remove(folder / "chunk_vocab_combined.json");
  write_file(folder / "config.json",
             R"({"model_type":"i3","vocab_size":16777216,"d_model":65536,"n_layers":1024,"n_heads":1,)"
             R"("max_seq_len":16777216,"d_state":65536,"conv_layers":1024,"attn_layers":0})");
  LoadOptions ids_only;
  ids_only.need_tokenizer = false;
  expect_error([&] { load_model_folder(folder, ids_only); }, {"missing", "wrong shape"});
}

}  // namespace
}  // namespace vigor
