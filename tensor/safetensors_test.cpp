#include "tensor/safetensors.h"
#include "tests/support/temporary_folder.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <filesystem>
#include <limits>
#include <string>

namespace vigor {
namespace {

namespace fs = std::filesystem;

class SafetensorsTest : public ::testing::Test {
 protected:
  // A file from a header as it stands and `data_bytes` zero bytes.
  void write_raw(const std::string& header, size_t data_bytes, const char* name = "model.safetensors") {
    const uint64_t length = header.size();
    std::string file(reinterpret_cast<const char*>(&length), sizeof length);
    write_file(folder_ / name, file + header + std::string(data_bytes, '\0'));
  }

  std::string error_of(const fs::path& path) {
    try {
      SafetensorsFile::open(path);
    } catch (const std::invalid_argument& error) {
      return error.what();
    }
    return "no error";
  }
  std::string error_of(const std::string& header, size_t data_bytes) {
    write_raw(header, data_bytes);
    return error_of(path_);
  }

  const vigor::testing::TemporaryFolder temporary_;
  const fs::path folder_ = temporary_.path();
  const fs::path path_ = folder_ / "model.safetensors";
};

#define EXPECT_CONTAINS(text, part) EXPECT_NE((text).find(part), std::string::npos) << (text)

TEST_F(SafetensorsTest, ReadsAFileOfTheReferenceImplementation) {
  const auto file =
      SafetensorsFile::open(fs::path(VIGOR_SOURCE_DIR) / "tests" / "fixtures" / "files" / "reference.safetensors");
  EXPECT_EQ(file.entries().size(), 9u);
  EXPECT_EQ(file.metadata().at("format"), "pt");
  EXPECT_EQ(file.metadata().at("note"), "t\xC3\xAAte \"quoted\"\n");
  const Tensor f32 = file.tensor("f32");
  EXPECT_EQ(f32.shape(), (Shape{2, 3}));
  EXPECT_EQ(f32.to_vector<float>(),
            (std::vector<float>{1.5f, -2.0f, 3.25f, 0.0f, 1e-30f, std::numeric_limits<float>::infinity()}));
  EXPECT_EQ(file.tensor("f64").item<double>(), 1.0 / 3.0);
  EXPECT_EQ(file.tensor("f16").to_vector<float>(), (std::vector<float>{0.5f, -65504.0f}));
  EXPECT_EQ(file.tensor("i32").item<int32_t>(), -7);
  EXPECT_EQ(file.tensor("i64").rank(), 0);
  EXPECT_EQ(file.tensor("i64").item<int64_t>(), int64_t{1} << 40);
  EXPECT_EQ(file.tensor("u8").to_vector<uint8_t>(), (std::vector<uint8_t>{0, 255}));
  EXPECT_EQ(file.tensor("bool").to_vector<uint8_t>(), (std::vector<uint8_t>{1, 0, 1}));
  EXPECT_EQ(file.tensor("empty").shape(), (Shape{0, 4}));
}

TEST_F(SafetensorsTest, ATypeThatCannotBeReadIsAnErrorOnlyWhenAskedFor) {
  const auto file =
      SafetensorsFile::open(fs::path(VIGOR_SOURCE_DIR) / "tests" / "fixtures" / "files" / "reference.safetensors");
  ASSERT_NE(file.find("i8"), nullptr);
  try {
    file.tensor("i8");
    FAIL();
  } catch (const std::invalid_argument& error) {
    EXPECT_CONTAINS(std::string(error.what()), "i8 has type I8; F32,");
  }
  EXPECT_EQ(file.find("i9"), nullptr);
  EXPECT_THROW(file.tensor("i9"), std::invalid_argument);
}

TEST_F(SafetensorsTest, EveryDtypeComesBackBitIdentical) {
  const std::vector<Dtype> dtypes{Dtype::u8, Dtype::f32, Dtype::bf16, Dtype::i64, Dtype::f16, Dtype::f64, Dtype::i32};
  std::vector<Tensor> tensors;
  std::vector<NamedView> views;
  for (Dtype dtype : dtypes) {
    Tensor x = empty({3, 5}, dtype);
    auto* bytes = static_cast<unsigned char*>(x.raw());
    for (size_t i = 0; i < x.nbytes(); ++i) bytes[i] = static_cast<unsigned char>(i * 37 + 11);  // NaN payloads too
    views.push_back({name_of(dtype), x});
    tensors.push_back(x);
  }
  write_safetensors(path_, views, {{"format", "pt"}});
  const auto file = SafetensorsFile::open(path_);
  for (const Tensor& x : tensors) {
    const Tensor y = file.tensor(name_of(x.dtype()));
    EXPECT_EQ(y.shape(), x.shape());
    ASSERT_EQ(y.dtype(), x.dtype());
    EXPECT_EQ(std::memcmp(x.raw(), y.raw(), x.nbytes()), 0) << name_of(x.dtype());
    EXPECT_EQ(y.raw(), file.find(name_of(x.dtype()))->bytes.data()) << "a copy was made";
  }
  EXPECT_EQ(file.metadata(), (std::map<std::string, std::string>{{"format", "pt"}}));
}

TEST_F(SafetensorsTest, StridedViewsAreWrittenRowMajor) {
  const Tensor x = from_values(std::vector<float>{0, 1, 2, 3, 4, 5}, {2, 3});
  const int dims[] = {1, 0};
  const std::vector<NamedView> views{{"t", permuted(x, dims, "test")}};
  write_safetensors(path_, views);
  const Tensor y = SafetensorsFile::open(path_).tensor("t");
  EXPECT_EQ(y.shape(), (Shape{3, 2}));
  EXPECT_EQ(y.to_vector<float>(), (std::vector<float>{0, 3, 1, 4, 2, 5}));
}

TEST_F(SafetensorsTest, ATensorOutlivesItsFileAndMayBeWritten) {
  write_safetensors(path_, std::vector<NamedView>{{"x", full({4}, 2.0)}});
  const Tensor x = SafetensorsFile::open(path_).tensor("x");
  fs::remove(path_);
  x.data<float>()[1] = 5.0f;  // a private copy of the page
  EXPECT_EQ(x.to_vector<float>(), (std::vector<float>{2, 5, 2, 2}));
}

TEST_F(SafetensorsTest, UnalignedTensorsAreCopied) {
  write_raw(
      R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"b":{"dtype":"F32","shape":[2],"data_offsets":[1,9]}})",
      9);
  const auto file = SafetensorsFile::open(path_);
  const Tensor b = file.tensor("b");
  EXPECT_EQ(b.to_vector<float>(), (std::vector<float>{0, 0}));
}

TEST_F(SafetensorsTest, EmptyFileOfNoTensors) {
  write_safetensors(path_, {});
  EXPECT_TRUE(SafetensorsFile::open(path_).entries().empty());
}

TEST_F(SafetensorsTest, RefusesNamesThatCannotBeWritten) {
  const Tensor x = zeros({1});
  EXPECT_THROW(write_safetensors(path_, std::vector<NamedView>{{"a", x}, {"a", x}}), std::invalid_argument);
  EXPECT_THROW(write_safetensors(path_, std::vector<NamedView>{{"__metadata__", x}}), std::invalid_argument);
  EXPECT_THROW(write_safetensors(path_, std::vector<NamedView>{{"\xff", x}}), std::invalid_argument);
  EXPECT_FALSE(fs::exists(path_));
}

TEST_F(SafetensorsTest, RefusesLengthsThatDoNotFit) {
  write_file(path_, "");
  EXPECT_CONTAINS(error_of(path_), "0 bytes are too few");
  write_file(path_, std::string(8, '\xff') + "{}");
  EXPECT_CONTAINS(error_of(path_), "the header says it has 18446744073709551615 bytes");
  write_file(path_, std::string("\x03\0\0\0\0\0\0\0{}", 10));
  EXPECT_CONTAINS(error_of(path_), "cut off");
  write_file(path_, std::string(8, '\0'));
  EXPECT_CONTAINS(error_of(path_), "does not begin with {");
}

TEST_F(SafetensorsTest, RefusesHeadersOfAnotherForm) {
  const std::string ok = R"("dtype":"F32","shape":[1],"data_offsets":[0,4])";
  EXPECT_EQ(error_of("{\"a\":{" + ok + "}}", 4), "no error");
  EXPECT_EQ(error_of("{\"a\":{" + ok + "}}   ", 4), "no error");
  const std::vector<std::pair<std::string, const char*>> cases{
      {"{\"a\":{" + ok + "},\"a\":{" + ok + "}}", "gap"},
      {"{\"a\":{" + ok + R"(,"dtype":"F32"}})", "dtype appears twice"},
      {"{\"a\":{" + ok + R"(,"shape":[1]}})", "shape appears twice"},
      {"{\"a\":{" + ok + R"(,"data_offsets":[0,4]}})", "an array is not expected"},
      {"{\"a\":{" + ok + R"(,"more":1}})", "a number is not expected"},
      {"{\"a\":{" + ok + R"(,"more":"x"}})", "a string is not expected"},
      {"{\"a\":{" + ok + R"(,"more":{}}})", "an object is not expected"},
      {"{\"a\":{" + ok + R"(,"more":[]}})", "an array is not expected"},
      {"{\"a\":{" + ok + R"(,"more":null}})", "null is not expected"},
      {"{\"a\":{" + ok + "}", "not valid JSON"},
      {"{\"a\":{" + ok + "}} x", "not valid JSON"},
      {"{\"a\":{" + ok + "}}{}", "not valid JSON"},
      {"{\"\xff\":{" + ok + "}}", "not valid JSON"},
      {R"({"a":{"dtype":"F32","shape":[1]}})", "needs dtype, shape and data_offsets"},
      {R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0]}})", "must be [begin, end]"},
      {R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[]}})", "must be [begin, end]"},
      {R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4,4]}})", "a number is not expected"},
      {R"({"a":{"dtype":"F32","shape":[-1],"data_offsets":[0,4]}})", "a negative number"},
      {R"({"a":{"dtype":"F32","shape":[1.0],"data_offsets":[0,4]}})", "a fraction"},
      {R"({"a":{"dtype":"F32","shape":[99999999999999999999],"data_offsets":[0,4]}})", "a huge number"},
      {R"({"a":{"dtype":"F32","shape":[[1]],"data_offsets":[0,4]}})", "an array is not expected"},
      {R"({"a":{"dtype":"F32","shape":[1,1,1,1,1,1,1,1,1],"data_offsets":[0,4]}})", "too many dimensions"},
      {R"({"a":{"dtype":"F31","shape":[1],"data_offsets":[0,4]}})", "the dtype is unknown"},
      {R"({"a":{"dtype":1,"shape":[1],"data_offsets":[0,4]}})", "a number is not expected"},
      {R"({"a":[]})", "an array is not expected"},
      {R"({"a":"b"})", "a string is not expected"},
      {R"({"__metadata__":{"a":"b","a":"c"}})", "appears twice"},
      {R"({"__metadata__":{},"__metadata__":{}})", "a second __metadata__"},
      {R"({"__metadata__":{"a":1}})", "a number is not expected"},
      {R"({"__metadata__":{"a":{}}})", "an object is not expected"},
      {"[1]", "does not begin with {"},
      {" {}", "does not begin with {"},
      {"{", "not valid JSON"},
      {"{\"a\":" + std::string(100000, '['), "an array is not expected"},
      {"{\"a\\n\":" + std::string(100000, '['), "near \"a?\""},
  };
  for (const auto& [header, expected] : cases) EXPECT_CONTAINS(error_of(header, 4), expected);
}

TEST_F(SafetensorsTest, RefusesDataThatDoesNotFitTheHeader) {
  const auto entry = [](const char* name, const char* shape, const char* offsets) {
    return std::string("\"") + name + "\":{\"dtype\":\"F32\",\"shape\":" + shape + ",\"data_offsets\":" + offsets + "}";
  };
  const auto two = [&](const char* first, const char* second) {
    return "{" + entry("a", "[1]", first) + "," + entry("b", "[1]", second) + "}";
  };
  EXPECT_EQ(error_of(two("[4,8]", "[0,4]"), 8), "no error");
  EXPECT_CONTAINS(error_of(two("[0,4]", "[2,6]"), 6), "without gap");    // overlap
  EXPECT_CONTAINS(error_of(two("[0,4]", "[8,12]"), 12), "without gap");  // gap
  EXPECT_CONTAINS(error_of(two("[0,4]", "[0,4]"), 4), "without gap");    // shared bytes
  EXPECT_CONTAINS(error_of(two("[4,0]", "[0,4]"), 4), "without gap");    // backwards
  EXPECT_CONTAINS(error_of(two("[0,4]", "[4,8]"), 7), "is the file cut off?");
  EXPECT_CONTAINS(error_of(two("[0,4]", "[4,8]"), 9), "the tensors end at byte 8");
  EXPECT_CONTAINS(error_of("{" + entry("a", "[2]", "[0,4]") + "}", 4), "a has 4 bytes, which do not fit [2] F32");
  EXPECT_CONTAINS(error_of("{" + entry("a", "[4611686018427387905,4]", "[0,4]") + "}", 4), "do not fit");  // 2^64 + 4
  EXPECT_CONTAINS(error_of("{" + entry("a", "[0,9223372036854775807,9]", "[0,4]") + "}", 4), "do not fit");
  EXPECT_CONTAINS(error_of("{" + entry("a", "[0]", "[0,0]") + "," + entry("a", "[0]", "[0,0]") + "}", 0),
                  "appears twice");
  EXPECT_CONTAINS(error_of(R"({"a":{"dtype":"F4","shape":[3],"data_offsets":[0,2]}})", 2), "do not fit");
}

TEST_F(SafetensorsTest, RefusesEveryTruncation) {
  write_safetensors(path_, std::vector<NamedView>{{"a", zeros({3})}, {"b", zeros({2}, Dtype::u8)}}, {{"k", "v"}});
  const std::string whole = read_text(path_, 1 << 20);
  for (size_t length = 0; length < whole.size(); ++length) {
    write_file(path_, whole.substr(0, length));
    ASSERT_NE(error_of(path_), "no error") << length;
  }
}

TEST_F(SafetensorsTest, ReadsShardsThroughTheirIndex) {
  write_safetensors(folder_ / "model-1.safetensors", std::vector<NamedView>{{"a", full({2}, 1.0)}});
  write_safetensors(folder_ / "model-2.safetensors", std::vector<NamedView>{{"b", full({3}, 2.0)}});
  const fs::path index = folder_ / "model.safetensors.index.json";
  write_file(index,
             R"({"metadata":{"total_size":20},"weight_map":{"a":"model-1.safetensors","b":"model-2.safetensors"}})");
  const auto file = SafetensorsFile::open(index);
  EXPECT_EQ(file.entries().size(), 2u);
  EXPECT_EQ(file.tensor("a").to_vector<float>(), (std::vector<float>{1, 1}));
  EXPECT_EQ(file.tensor("b").to_vector<float>(), (std::vector<float>{2, 2, 2}));
}

TEST_F(SafetensorsTest, RefusesABadIndex) {
  write_safetensors(folder_ / "one.safetensors", std::vector<NamedView>{{"a", zeros({1})}});
  write_safetensors(folder_ / "two.safetensors", std::vector<NamedView>{{"a", zeros({1})}});
  const fs::path index = folder_ / "model.safetensors.index.json";
  const std::vector<std::pair<std::string, const char*>> cases{
      {"", "not valid JSON"},
      {"[]", "weight_map"},
      {"{}", "weight_map"},
      {R"({"weight_map":[]})", "weight_map"},
      {R"({"weight_map":{"a":1}})", "must name a file"},
      {R"({"weight_map":{"a":"../one.safetensors"}})", "same folder only"},
      {R"({"weight_map":{"a":"/etc/passwd"}})", "same folder only"},
      {R"({"weight_map":{"a":""}})", "same folder only"},
      {R"({"weight_map":{"a":".."}})", "same folder only"},
      {R"({"weight_map":{"a":"one.safetensors\u0000"}})", "same folder only"},
      {R"({"weight_map":{"b":"one.safetensors"}})", "names b, which no file holds"},
      {R"({"weight_map":{"a":"one.safetensors","b":"two.safetensors"}})", "tensor a appears twice"},
      {std::string(100000, '['), "nested too deeply"},
  };
  for (const auto& [text, expected] : cases) {
    write_file(index, text);
    EXPECT_CONTAINS(error_of(index), expected);
  }
  write_file(index, R"({"weight_map":{"a":"none.safetensors"}})");
  EXPECT_THROW(SafetensorsFile::open(index), std::runtime_error);
}

}  // namespace
}  // namespace vigor
