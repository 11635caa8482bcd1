#include "models/hf/pickle_checkpoint.h"
#include "tests/support/temporary_folder.h"

#include <gtest/gtest.h>
#include <zip.h>

#include <filesystem>
#include <limits>

namespace vigor {
namespace {

namespace fs = std::filesystem;
using namespace std::string_literals;

#define EXPECT_CONTAINS(text, part) EXPECT_NE((text).find(part), std::string::npos) << (text)

fs::path fixture(const std::string& name) { return fs::path(VIGOR_SOURCE_DIR) / "tests" / "fixtures" / "files" / name; }

std::string error_of(const fs::path& path) {
  try {
    PickleCheckpoint checkpoint(path);
  } catch (const std::invalid_argument& error) {
    return error.what();
  }
  return "no error";
}

// ---- files of torch.save, made by tests/parity/make_pickle_fixtures.py ----

TEST(PickleFixture, ReadsAModulesStateDict) {
  const PickleCheckpoint checkpoint(fixture("state_dict.bin"));
  std::vector<std::string> names;
  for (const auto& entry : checkpoint.entries()) names.emplace_back(entry.name);
  EXPECT_EQ(names, (std::vector<std::string>{"0.bias", "0.weight", "1.bias", "1.weight"}));
  EXPECT_EQ(checkpoint.tensor("0.weight").shape(), (Shape{2, 3}));
  EXPECT_EQ(checkpoint.tensor("0.weight").to_vector<float>(), (std::vector<float>{0, 0.25f, 0.5f, 0.75f, 1, 1.25f}));
  EXPECT_EQ(checkpoint.tensor("1.bias").to_vector<float>(), (std::vector<float>{0, 0.25f}));
  EXPECT_EQ(checkpoint.find("2.bias"), nullptr);
  EXPECT_THROW(checkpoint.tensor("2.bias"), std::invalid_argument);
}

TEST(PickleFixture, ReadsTheModelInsideATrainingCheckpoint) {
  const PickleCheckpoint checkpoint(fixture("training_checkpoint.bin"));
  EXPECT_EQ(checkpoint.entries().size(), 4u);
  EXPECT_EQ(checkpoint.tensor("0.weight").shape(), (Shape{2, 3}));
}

class PickleDtypes : public ::testing::TestWithParam<const char*> {};

TEST_P(PickleDtypes, ReadsDtypesStridesAndSharedStorages) {
  const PickleCheckpoint checkpoint(fixture(GetParam()));
  const auto floats = [&](const char* name) { return checkpoint.tensor(name).to_vector<float>(); };
  EXPECT_EQ(floats("f32"),
            (std::vector<float>{1.5f, -2.0f, 3.25f, 0.0f, 1e-30f, std::numeric_limits<float>::infinity()}));
  EXPECT_EQ(checkpoint.tensor("f64").item<double>(), 1.0 / 3.0);
  EXPECT_EQ(checkpoint.tensor("f16").dtype(), Dtype::f16);
  EXPECT_EQ(floats("f16"), (std::vector<float>{0.5f, -65504.0f}));
  EXPECT_EQ(checkpoint.tensor("bf16").dtype(), Dtype::bf16);
  EXPECT_EQ(floats("bf16"), (std::vector<float>{1.0f, -3.0f}));
  EXPECT_EQ(checkpoint.tensor("i32").item<int32_t>(), -7);
  EXPECT_EQ(checkpoint.tensor("i64").rank(), 0);
  EXPECT_EQ(checkpoint.tensor("i64").item<int64_t>(), int64_t{1} << 40);
  EXPECT_EQ(checkpoint.tensor("u8").to_vector<uint8_t>(), (std::vector<uint8_t>{0, 255}));
  EXPECT_EQ(checkpoint.tensor("bool").to_vector<uint8_t>(), (std::vector<uint8_t>{1, 0, 1}));
  EXPECT_EQ(checkpoint.tensor("empty").shape(), (Shape{0, 4}));
  EXPECT_EQ(floats("parameter"), (std::vector<float>{4}));

  const Tensor transposed = checkpoint.tensor("transposed");
  EXPECT_EQ(transposed.shape(), (Shape{3, 2}));
  EXPECT_FALSE(transposed.is_contiguous());
  EXPECT_EQ(transposed.to_vector<float>(), (std::vector<float>{0, 3, 1, 4, 2, 5}));

  const Tensor column = checkpoint.tensor("shared.column");
  const Tensor rows = checkpoint.tensor("shared.rows");
  EXPECT_EQ(column.to_vector<float>(), (std::vector<float>{5, 11, 17, 23}));
  EXPECT_EQ(rows.to_vector<float>(), (std::vector<float>{6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17}));
  EXPECT_EQ(column.storage(), rows.storage());
}

TEST_P(PickleDtypes, ATypeThatCannotBeReadIsAnErrorOnlyWhenAskedFor) {
  const PickleCheckpoint checkpoint(fixture(GetParam()));
  ASSERT_NE(checkpoint.find("i8"), nullptr);
  try {
    checkpoint.tensor("i8");
    FAIL();
  } catch (const std::invalid_argument& error) {
    EXPECT_CONTAINS(std::string(error.what()), "i8 is a CharStorage, which is not read");
  }
}

INSTANTIATE_TEST_SUITE_P(Protocols, PickleDtypes,
                         ::testing::Values("dtypes.bin", "dtypes_protocol_4.bin", "dtypes_protocol_5.bin"),
                         [](const auto& file) { return std::to_string(file.index); });

TEST(PickleFixture, RefusesOtherClassesAndTheOldFormat) {
  EXPECT_CONTAINS(error_of(fixture("custom_class.bin")), "global __main__.Custom is not allowed in a checkpoint");
  EXPECT_CONTAINS(error_of(fixture("old_format.bin")), "Convert it: python -c");
  EXPECT_CONTAINS(error_of(fixture("reference.safetensors")), "not a zip file");
}

// ---- hostile files, written here ----

class HostileCheckpoint : public ::testing::Test {
 protected:
  using Records = std::vector<std::pair<std::string, std::string>>;

  void write_zip(const Records& records, int method = ZIP_CM_STORE) {
    int error = 0;
    zip_t* archive = zip_open(path_.c_str(), ZIP_CREATE | ZIP_TRUNCATE, &error);
    ASSERT_NE(archive, nullptr);
    for (const auto& record : records) {
      zip_source_t* source = zip_source_buffer(archive, record.second.data(), record.second.size(), 0);
      const zip_int64_t index = zip_file_add(archive, record.first.c_str(), source, 0);
      ASSERT_GE(index, 0);
      zip_set_file_compression(archive, static_cast<zip_uint64_t>(index), method, 0);
    }
    ASSERT_EQ(zip_close(archive), 0);
  }

  // The error of an archive with this pickle and one storage "0" of four floats.
  std::string error_of_pickle(const std::string& pickle) {
    write_zip({{"a/data.pkl", pickle}, {"a/data/0", std::string(16, '\0')}});
    return error_of(path_);
  }

  const vigor::testing::TemporaryFolder temporary_;
  const fs::path folder_ = temporary_.path();
  const fs::path path_ = folder_ / "pytorch_model.bin";
};

std::string text(const std::string& s) { return "X" + std::string{static_cast<char>(s.size())} + "\0\0\0"s + s; }
std::string integer(int64_t value) {
  return "\x8a\x08"s + std::string(reinterpret_cast<const char*>(&value), sizeof value);
}
std::string tuple(const std::string& items) { return "(" + items + "t"; }
std::string storage(int64_t numel, const std::string& type = "FloatStorage", const std::string& key = "0") {
  return tuple(text("storage") + "ctorch\n" + type + "\n" + text(key) + text("cpu") + integer(numel)) + "Q";
}
std::string tensor(const std::string& storage_code, int64_t offset, const std::string& sizes,
                   const std::string& strides) {
  return "ctorch._utils\n_rebuild_tensor_v2\n" +
         tuple(storage_code + integer(offset) + tuple(sizes) + tuple(strides) +
               "\x89"
               "ccollections\nOrderedDict\n)R") +
         "R";
}
std::string dict(const std::string& items) { return "\x80\x02}(" + items + "u."; }
std::string one_tensor(const std::string& code) { return dict(text("w") + code); }

TEST_F(HostileCheckpoint, TheBuilderItselfIsUnderstood) {
  EXPECT_EQ(error_of_pickle(one_tensor(tensor(storage(4), 0, integer(2) + integer(2), integer(2) + integer(1)))),
            "no error");
  const PickleCheckpoint checkpoint(path_);
  EXPECT_EQ(checkpoint.tensor("w").shape(), (Shape{2, 2}));
}

TEST_F(HostileCheckpoint, RunsNothing) {
  const std::string call = "(" + text("touch /tmp/vigor-was-here") + "tR";
  EXPECT_CONTAINS(error_of_pickle("\x80\x02"
                                  "cposix\nsystem\n" +
                                  call + "."),
                  "pickle byte 2: global posix.system is not allowed");
  EXPECT_CONTAINS(error_of_pickle("\x80\x04"s + text("builtins") + text("eval") + "\x93" + call + "."),
                  "global builtins.eval is not allowed");
  EXPECT_CONTAINS(error_of_pickle("\x80\x02"
                                  "ctorch\nload\n" +
                                  call + "."),
                  "global torch.load is not allowed");
  EXPECT_CONTAINS(error_of_pickle("(" + text("ls") + "iposix\nsystem\n."), "opcode 0x69 (INST) is not allowed");
  EXPECT_CONTAINS(error_of_pickle("(cposix\nsystem\n" + text("ls") + "o."), "global posix.system");
  EXPECT_CONTAINS(error_of_pickle("ccollections\nOrderedDict\n)\x81."), "opcode 0x81 (NEWOBJ) is not allowed");
  EXPECT_CONTAINS(error_of_pickle("N)R."), "only a global can be called");
  EXPECT_CONTAINS(error_of_pickle(text("x") + ")R."), "only a global can be called");
  EXPECT_CONTAINS(error_of_pickle("ctorch\nFloatStorage\n)R."), "a storage type cannot be called");
  EXPECT_CONTAINS(error_of_pickle("ccollections\nOrderedDict\n" + tuple(tuple("")) + "R."), "without arguments");
  EXPECT_CONTAINS(error_of_pickle("I1\n."), "of the text protocol 0");
  EXPECT_CONTAINS(error_of_pickle("C\x01x."), "BINBYTES");
  EXPECT_CONTAINS(error_of_pickle("]}b."), "attributes may be set on a dictionary only");
  EXPECT_FALSE(fs::exists("/tmp/vigor-was-here"));
}

TEST_F(HostileCheckpoint, RefusesBrokenPrograms) {
  const std::vector<std::pair<std::string, const char*>> cases{
      {"", "ends in the middle"},
      {"\x80", "ends in the middle"},
      {"\x80\x06.", "the protocol is unknown"},
      {"X\xff\xff\xff\xff"
       "abc",
       "ends in the middle"},
      {"\x8d\xff\xff\xff\xff\xff\xff\xff\xff"
       "abc",
       "ends in the middle"},
      {"\x95\xff\xff\xff\xff\xff\xff\xff\xff.", "a frame longer than the pickle"},
      {"ctorch\nSiz", "ends in the middle"},
      {"\x8a\xff" + std::string(255, '\1') + ".", "more than 64 bits"},
      {".", "the stack is empty"},
      {"0.", "the stack is empty"},
      {"N(0.", "the stack is empty"},
      {"N(.", "the stack is empty"},
      {"1.", "no mark"},
      {"t.", "no mark"},
      {"}(Nu.", "a value for every key"},
      {"](NNu.", "in a dictionary only"},
      {"}Na.", "to a list only"},
      {"h\0."s, "never stored"},
      {"q\0."s, "the stack is empty"},
      {std::string(20000, '('), "nested too deeply"},
      {std::string(2100000, 'N') + ".", "too many objects"},
      {"N.", "a dictionary of tensors is expected"},
      {"}.", "no tensors by name"},
      {dict(text("model") + "}"), "no tensors by name"},
      {"NQ.", "a persistent id must be"},
      {tuple(text("storage")) + "Q.", "a persistent id must be"},
      {storage(-1) + ".", "impossible size"},
      {storage(int64_t{1} << 62) + ".", "impossible size"},
      {storage(4, "Size") + ".", "a persistent id must be"},
      {storage(4, "UntypedStorage") + ".", "global torch.UntypedStorage is not allowed"},
  };
  for (const auto& [pickle, expected] : cases) EXPECT_CONTAINS(error_of_pickle(pickle), expected);
}

TEST_F(HostileCheckpoint, RefusesTensorsOutsideTheirStorage) {
  const int64_t huge = int64_t{1} << 62;
  const std::vector<std::pair<std::string, const char*>> cases{
      {tensor(storage(4), 0, integer(5), integer(1)), "more elements than its storage"},
      {tensor(storage(4), 1, integer(4), integer(1)), "reaches beyond its storage"},
      {tensor(storage(4), -1, integer(1), integer(1)), "impossible sizes"},
      {tensor(storage(4), 0, integer(-1), integer(1)), "impossible sizes"},
      {tensor(storage(4), 0, integer(2), ""), "impossible sizes"},
      {tensor(storage(4), 0, integer(huge) + integer(4), integer(1) + integer(1)), "impossible sizes"},
      {tensor(storage(4), 0, integer(2), integer(-1)), "impossible strides"},
      {tensor(storage(4), 0, integer(3), integer(huge)), "impossible strides"},
      {tensor(storage(4), 0, integer(2) + integer(2), integer(huge) + integer(huge)), "impossible strides"},
      {tensor(storage(4), 0, integer(2), integer(4)), "reaches beyond its storage"},
      {tensor(storage(4), 0, integer(1000), integer(0)), "more elements than its storage"},
      {tensor(storage(4), 0, std::string(9, 'N'), ""), "8 dimensions at most"},
      {tensor(storage(4), 0, "N", integer(1)), "tuples of integers"},
      {tensor("N", 0, "", ""), "a tensor needs a storage"},
      {tensor(storage(3), 0, integer(1), integer(1)), "should have 3 FloatStorage elements; its record has 16 bytes"},
      {tensor(storage(4, "LongStorage"), 0, integer(1), integer(1)), "should have 4 LongStorage elements"},
      {tensor(storage(4, "FloatStorage", "1"), 0, integer(1), integer(1)), "the archive has no data/1"},
      {tensor(storage(4, "FloatStorage", "../data.pkl"), 0, integer(1), integer(1)), "the archive has no data/../data"},
      {"ctorch._utils\n_rebuild_tensor_v2\n)R", "needs 6 or 7 arguments"},
      {"ctorch._utils\n_rebuild_parameter\n" + tuple("N") + "R", "_rebuild_parameter needs a tensor"},
      {"ctorch\nSize\n" + tuple("N") + "R", "torch.Size needs one tuple"},
  };
  for (const auto& [code, expected] : cases) EXPECT_CONTAINS(error_of_pickle(one_tensor(code)), expected);
}

TEST_F(HostileCheckpoint, RefusesBadNames) {
  const std::string w = tensor(storage(4), 0, "", "");
  EXPECT_CONTAINS(error_of_pickle(dict(text("w") + w + text("w") + w)), "tensor w appears twice");
  EXPECT_CONTAINS(error_of_pickle(dict("N" + w)), "a tensor's name must be a string");
  EXPECT_CONTAINS(error_of_pickle(dict("X\xd0\x07\0\0"s + std::string(2000, 'n') + w)), "of at most 1000 bytes");
}

TEST_F(HostileCheckpoint, ContainersThatHoldThemselvesAreHarmless) {
  // list and dictionary appended to themselves, 100,000 lists nested, and the tensor beside them
  const std::string w = text("w") + tensor(storage(4), 0, "", "");
  std::string nested = "]";
  for (int i = 0; i < 100000; ++i) nested += "\x85";
  EXPECT_EQ(error_of_pickle(dict(text("a") + "]q\1h\1a" + text("b") + "}q\2Nh\2s" + text("c") + nested + w)),
            "no error");
}

TEST_F(HostileCheckpoint, RefusesBadArchives) {
  const std::string pickle = one_tensor(tensor(storage(4), 0, "", ""));
  const std::string data(16, '\0');
  write_zip({{"a/data.pkl", pickle}, {"a/byteorder", "little"}, {"a/data/0", data}});
  EXPECT_EQ(error_of(path_), "no error");
  write_zip({{"a/data.pkl", pickle}, {"a/byteorder", "big"}, {"a/data/0", data}});
  EXPECT_CONTAINS(error_of(path_), "the byte order must be little");
  write_zip({{"a/data.pkl", pickle}, {"a/byteorder", "bigger"}, {"a/data/0", data}});
  EXPECT_CONTAINS(error_of(path_), "the byte order must be little");
  write_zip({{"a/data.pkl", pickle}, {"b/data.pkl", pickle}, {"a/data/0", data}});
  EXPECT_CONTAINS(error_of(path_), "more than one data.pkl");
  write_zip({{"a/data/0", data}});
  EXPECT_CONTAINS(error_of(path_), "no data.pkl in the archive");
  write_zip({{"a/data.pkl", pickle}, {"a/data/0", std::string(100000, '\0')}}, ZIP_CM_DEFLATE);
  EXPECT_CONTAINS(error_of(path_), "is compressed or encrypted");
  EXPECT_THROW(PickleCheckpoint(folder_ / "missing.bin"), std::runtime_error);
  write_file(path_, "");
  EXPECT_CONTAINS(error_of(path_), "not a zip file");
}

TEST_F(HostileCheckpoint, FindsEveryTruncationAndEveryDamagedByteOfTheData) {
  const std::string whole = read_text(fixture("state_dict.bin"), 1 << 20);
  for (size_t length = 0; length < whole.size(); length += 7) {
    write_file(path_, whole.substr(0, length));
    ASSERT_NE(error_of(path_), "no error") << length;
  }
  write_file(path_, whole);
  const Tensor intact = PickleCheckpoint(path_).tensor("0.weight");
  const std::string bytes(static_cast<const char*>(intact.raw()), intact.nbytes());
  const size_t at = whole.find(bytes);
  ASSERT_NE(at, std::string::npos);
  for (size_t i = 0; i < bytes.size(); ++i) {
    std::string damaged = whole;
    damaged[at + i] ^= 4;
    write_file(path_, damaged);
    const PickleCheckpoint checkpoint(path_);
    EXPECT_THROW(checkpoint.tensor("0.weight"), std::invalid_argument) << i;
  }
}

}  // namespace
}  // namespace vigor
