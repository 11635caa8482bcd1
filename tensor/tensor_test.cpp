#include "tensor/tensor.h"

#include <array>
#include <bit>
#include <cmath>

#include "tensor/primitives.h"
#include "tests/support/testing.h"

namespace vigor {
namespace {

using namespace vigor::testing;

// ---- dtypes ----

TEST(Dtypes, NamesAndSizes) {
  EXPECT_EQ(size_of(Dtype::f64), 8u);
  EXPECT_EQ(size_of(Dtype::bf16), 2u);
  EXPECT_EQ(size_of(Dtype::u8), 1u);
  for (Dtype dtype : {Dtype::f32, Dtype::f64, Dtype::bf16, Dtype::f16, Dtype::i32, Dtype::i64, Dtype::u8}) {
    EXPECT_EQ(dtype_from_name(name_of(dtype)), dtype);
    EXPECT_EQ(visit_any(dtype, []<class T>() { return dtype_of<T>; }), dtype);
  }
  EXPECT_EQ(dtype_from_name("bfloat16"), Dtype::bf16);
  EXPECT_EQ(dtype_from_name("int32"), Dtype::i32);
  EXPECT_EQ(dtype_from_name("complex64"), std::nullopt);
  expect_error([] { visit_float(Dtype::i32, "gelu", []<class T>() {}); }, {"gelu: ", "i32"});
}

TEST(Dtypes, Bf16RoundsToNearestEven) {
  const auto bits = [](float value) { return bf16(value).bits; };
  EXPECT_EQ(bits(1.0f), 0x3f80);
  EXPECT_EQ(bits(-2.5f), 0xc020);
  // Neighbours of 1 are 1 + 2^-7 apart: exactly in the middle the even one wins, beyond it the nearer one.
  EXPECT_EQ(bits(1 + 0x1p-8f), 0x3f80);
  EXPECT_EQ(bits(1 + 0x3p-8f), 0x3f82);
  EXPECT_EQ(bits(1 + 0x1p-8f + 0x1p-20f), 0x3f81);
  EXPECT_EQ(bits(3.4e38f), 0x7f80);  // above the largest finite value: infinity
  EXPECT_EQ(bits(INFINITY), 0x7f80);
  EXPECT_TRUE(std::isnan(static_cast<float>(bf16(std::bit_cast<float>(0x7f800001u)))));  // payload in the lost bits
  EXPECT_EQ(bits(1e-40f), 0x0001);                                                       // subnormal
  for (uint32_t b = 0; b < 0x10000; ++b) {  // every value survives the way to f32 and back
    bf16 value;
    value.bits = static_cast<uint16_t>(b);
    const float wide = static_cast<float>(value);
    EXPECT_TRUE(std::isnan(wide) || bf16(wide).bits == value.bits) << b;
  }
}

TEST(Dtypes, F16RoundsToNearestEven) {
  EXPECT_EQ(f16(1.0f).bits, 0x3c00);
  EXPECT_EQ(f16(-2.0f).bits, 0xc000);
  EXPECT_EQ(f16(65504.0f).bits, 0x7bff);  // the largest
  EXPECT_EQ(f16(65519.0f).bits, 0x7bff);
  EXPECT_EQ(f16(65520.0f).bits, 0x7c00);  // in the middle to 65536: infinity
  EXPECT_EQ(f16(1e9f).bits, 0x7c00);
  EXPECT_EQ(f16(1 + 0x1p-11f).bits, 0x3c00);  // ties to even
  EXPECT_EQ(f16(1 + 0x3p-11f).bits, 0x3c02);
  EXPECT_EQ(f16(0x1p-24f).bits, 0x0001);  // the smallest
  EXPECT_EQ(f16(0x1p-25f).bits, 0x0000);  // ties to even
  EXPECT_EQ(f16(0x1.8p-24f).bits, 0x0002);
  EXPECT_EQ(f16(0x1.ffcp-15f).bits, 0x0400);  // rounds up to the smallest normal number
  EXPECT_EQ(f16(-0.0f).bits, 0x8000);
  EXPECT_TRUE(std::isnan(static_cast<float>(f16(NAN))));
  for (uint32_t b = 0; b < 0x10000; ++b) {
    f16 value;
    value.bits = static_cast<uint16_t>(b);
    const float wide = static_cast<float>(value);
    EXPECT_TRUE(std::isnan(wide) || f16(wide).bits == value.bits) << b;
  }
}

// ---- shapes ----

TEST(Shapes, SizesAndStrides) {
  const Shape shape{4, 1, 3};
  EXPECT_EQ(shape.numel(), 12);
  EXPECT_EQ(Shape{}.numel(), 1);
  EXPECT_EQ((Shape{3, 0}).numel(), 0);
  EXPECT_EQ(contiguous_strides(shape), (Strides{3, 3, 1}));
  EXPECT_EQ(to_string(shape), "[4,1,3]");
  EXPECT_EQ(to_string(Shape{}), "[]");
  EXPECT_TRUE(is_contiguous(shape, {3, 77, 1}));  // the stride of a size of 1 is never used
  EXPECT_FALSE(is_contiguous(shape, {4, 1, 1}));
  EXPECT_TRUE(is_contiguous({0, 3}, {9, 1}));
  expect_error([] { Shape{1, 1, 1, 1, 1, 1, 1, 1, 1}; }, {"shape: ", "8"});
}

TEST(Shapes, InsertAndErase) {
  Shape shape{2, 3};
  shape.insert(1, 7);
  EXPECT_EQ(shape, (Shape{2, 7, 3}));
  shape.erase(0);
  EXPECT_EQ(shape, (Shape{7, 3}));
  shape.push_back(5);
  EXPECT_EQ(shape.back(), 5);
}

TEST(Shapes, CheckedNumelRefusesWhatDoesNotFit) {
  const auto numel = [](std::initializer_list<int64_t> sizes) { return checked_numel({sizes.begin(), sizes.size()}); };
  EXPECT_EQ(numel({3, 4}), 12);
  EXPECT_LT(numel({3, -1}), 0);
  EXPECT_LT(numel({int64_t{1} << 32, int64_t{1} << 32}), 0);
  expect_error([] { empty({int64_t{1} << 40, int64_t{1} << 30}); }, {"empty: "});
  expect_error([] { empty({int64_t{1} << 61}); }, {"empty: "});  // the bytes do not fit
  expect_error([] { empty({2, -1}); }, {"empty: ", "[2,-1]"});
}

TEST(Shapes, Broadcasting) {
  EXPECT_EQ(broadcast_shapes({2, 1, 3}, {4, 1}, "add"), (Shape{2, 4, 3}));
  EXPECT_EQ(broadcast_shapes({}, {0}, "add"), Shape{0});
  EXPECT_EQ(broadcast_shapes({1}, {0}, "add"), Shape{0});
  expect_error([] { broadcast_shapes({2, 3}, {2}, "add"); }, {"add: ", "[2,3]", "[2]"});
  EXPECT_EQ(normalize_dim(-1, 3, "sum"), 2);
  expect_error([] { normalize_dim(3, 3, "sum"); }, {"sum: ", "[-3, 3)", "3"});
}

// ---- tensors ----

TEST(Tensors, MakingAndReading) {
  const Tensor x = from_values(std::vector<float>{1, 2, 3, 4, 5, 6}, {2, 3});
  EXPECT_EQ(x.dtype(), Dtype::f32);
  EXPECT_EQ(x.size(-1), 3);
  EXPECT_EQ(x.nbytes(), 24u);
  EXPECT_TRUE(x.is_contiguous());
  EXPECT_EQ(x.data<float>()[4], 5);
  EXPECT_EQ(reinterpret_cast<uintptr_t>(x.raw()) % 64, 0u);
  EXPECT_EQ(full({}, 3.5).item<double>(), 3.5);
  expect_values(full({3}, 2.9, Dtype::i32), {2, 2, 2});
  expect_values(zeros({2}, Dtype::bf16), {0, 0});
  EXPECT_EQ(zeros_like(x).shape(), x.shape());
  expect_error([&] { (void)x.data<double>(); }, {"[2,3] f32", "f64"});
  expect_error([&] { (void)x.item<float>(); }, {"item: ", "[2,3] f32"});
  expect_error([] { from_values(std::vector<float>{1, 2}, {3}); }, {"from_values: ", "2", "[3]"});
  EXPECT_EQ(describe(x), "[2,3] f32 on cpu");
  EXPECT_EQ(describe(Tensor()), "undefined");
}

TEST(Tensors, HandlesAndCopies) {
  const Tensor x = full({2}, 1.0);
  const Tensor same = x, copied = clone(x), other_view = x.without_slot();
  x.data<float>()[0] = 7;
  EXPECT_EQ(same.data<float>()[0], 7);
  EXPECT_EQ(other_view.data<float>()[0], 7);
  EXPECT_EQ(copied.data<float>()[0], 1);
  EXPECT_TRUE(x.same_as(same));
  EXPECT_FALSE(x.same_as(other_view));
  EXPECT_FALSE(x.is_sole_owner());
  EXPECT_TRUE(copied.is_sole_owner());
}

TEST(Tensors, ConversionBetweenAllDtypes) {
  const std::vector<double> values = {0, 1, 2, 100, 127};  // exact in every dtype
  for (Dtype from : {Dtype::f32, Dtype::f64, Dtype::bf16, Dtype::f16, Dtype::i32, Dtype::i64, Dtype::u8})
    for (Dtype to : {Dtype::f32, Dtype::f64, Dtype::bf16, Dtype::f16, Dtype::i32, Dtype::i64, Dtype::u8})
      expect_values(converted(converted(from_values(values, {5}), from), to), values);
}

TEST(Tensors, FromMemoryKeepsTheOwner) {
  auto owner = std::make_shared<std::array<float, 4>>(std::array<float, 4>{1, 2, 3, 4});
  const std::weak_ptr<std::array<float, 4>> watch = owner;
  Tensor x = from_memory(owner->data(), {2, 2}, Dtype::f32, owner);
  owner.reset();
  expect_values(x, {1, 2, 3, 4});
  Tensor row = x.with_view(sliced(x, 0, 1, 2, 1, "test"));
  x = Tensor();
  EXPECT_FALSE(watch.expired());  // the view needs it
  expect_values(row, {3, 4});
  row = Tensor();
  EXPECT_TRUE(watch.expired());
  alignas(8) char bytes[16] = {};
  expect_error([&] { from_memory(bytes + 1, {2}, Dtype::f32, nullptr); }, {"from_memory: ", "f32"});
}

TEST(Tensors, Printing) {
  EXPECT_EQ(to_string(from_values(std::vector<int32_t>{1, 2, 3, 4}, {2, 2})), "[[1, 2],\n [3, 4]]  [2,2] i32 on cpu");
  const std::string text = to_string(from_values(std::vector<float>{1.5f, -2}, {2}));
  EXPECT_NE(text.find("1.5"), std::string::npos);
  EXPECT_NE(text.find("-2"), std::string::npos);
  const std::string longer = to_string(random_ids({100}, 10));
  EXPECT_NE(longer.find("..."), std::string::npos);
  EXPECT_LT(longer.size(), 80u);
  EXPECT_EQ(to_string(full({}, 3, Dtype::u8)), "3  [] u8 on cpu");
  EXPECT_EQ(to_string(zeros({0}, Dtype::i32)), "[]  [0] i32 on cpu");
  EXPECT_EQ(to_string(Tensor()), "undefined tensor");
  EXPECT_EQ(to_string(from_values(std::vector<int64_t>{(int64_t{1} << 53) + 1}, {1})),
            "[9007199254740993]  [1] i64 on cpu");
}

// ---- views ----

TEST(RawViews, ShareMemory) {
  const Tensor x = from_values(std::vector<float>{0, 1, 2, 3, 4, 5}, {2, 3});
  const std::array<int, 2> dims{1, 0};
  const TensorView turned = permuted(x, dims, "permute");
  EXPECT_EQ(turned.sizes, (Shape{3, 2}));
  EXPECT_EQ(turned.strides, (Strides{1, 3}));
  EXPECT_EQ(sliced(x, 1, 1, 3, 2, "slice").as<float>()[0], 1);
  EXPECT_EQ(sliced(x, 1, -2, 100, 1, "slice").sizes, (Shape{2, 2}));
  EXPECT_EQ(expanded(x, {4, 2, 3}, "expand").strides, (Strides{0, 3, 1}));
  expect_error([&] { expanded(x, {3}, "expand"); }, {"expand: ", "[2,3]", "[3]"});
}

TEST(RawViews, ReshapedRefusesAnotherNumberOfElements) {
  const Tensor x = zeros({2, 3});
  EXPECT_FALSE(reshaped(x, {7}).has_value());
  EXPECT_FALSE(reshaped(transposed_storage(x), {7}).has_value());
  EXPECT_FALSE(reshaped(transposed_storage(x), {6}).has_value());
  EXPECT_EQ(reshaped(x, {6})->strides, Strides{1});
  // Dimensions of size 1 come and go under any strides.
  const Tensor turned = transposed_storage(x);
  EXPECT_EQ(reshaped(turned, {1, 2, 1, 3, 1})->sizes.rank(), 5);
  EXPECT_EQ(reshaped(turned, {1, 2, 1, 3, 1})->strides[1], turned.strides()[0]);
}

// ---- primitives ----

TEST(Primitives, CopyFillAndAccumulate) {
  for (const Shape& sizes : {Shape{}, Shape{1}, Shape{3, 17}, Shape{100, 1000}, Shape{0, 3}})
    for (Dtype dtype : {Dtype::f32, Dtype::f64, Dtype::bf16}) {
      const Tensor x = random(sizes, dtype);
      for (const Tensor& to : strided_variants(zeros(sizes, dtype)))
        for (const Tensor& from : strided_variants(x)) {
          fill(to, 0.5);
          expect_close(to, full(sizes, 0.5), 0);
          copy(to, from);
          expect_equal(to, x);
          accumulate(to, from);
          expect_close(to, converted(x, Dtype::f64), 1.01, 0);
          EXPECT_TRUE(to.numel() == 0 || to.to_vector<double>()[0] == 2 * x.to_vector<double>()[0]);
        }
    }
  expect_error([] { copy(zeros({2}), zeros({3})); }, {"copy: ", "[2]", "[3]"});
  expect_error([] { accumulate(zeros({2}), zeros({2}, Dtype::f64)); }, {"accumulate: ", "f32", "f64"});
}

TEST(Primitives, CopiesTransposedMatricesInTiles) {
  const Tensor x = random({3, 40, 2, 70}, Dtype::f32);
  const std::vector<float> values = x.to_vector<float>();
  for (const std::vector<int>& dims : {std::vector<int>{0, 3, 2, 1}, {3, 1, 0, 2}, {2, 3, 1, 0}, {3, 2, 1, 0}}) {
    const Tensor turned = x.with_view(permuted(x, dims, "test"));
    const std::vector<float> copied = turned.to_vector<float>();
    const std::vector<double> widened = converted(turned, Dtype::f64).to_vector<double>();
    for (int64_t i = 0; i < x.numel(); ++i) {
      int64_t rest = i, from = 0;
      for (int d = 3; d >= 0; --d) {
        from += rest % turned.shape()[d] * turned.strides()[d];
        rest /= turned.shape()[d];
      }
      ASSERT_EQ(copied[static_cast<size_t>(i)], values[static_cast<size_t>(from)]);
      ASSERT_EQ(widened[static_cast<size_t>(i)], static_cast<double>(values[static_cast<size_t>(from)]));
    }
  }
}

TEST(Primitives, FirstNonFinite) {
  const Tensor x = zeros({3, 4});
  EXPECT_EQ(first_non_finite(x), -1);
  x.data<float>()[7] = NAN;
  EXPECT_EQ(first_non_finite(x), 7);
  x.data<float>()[5] = -INFINITY;
  EXPECT_EQ(first_non_finite(x), 5);
  EXPECT_EQ(first_non_finite(zeros({2}, Dtype::i32)), -1);
}

// ---- random numbers ----

// The known answers of Random123, the authors' implementation (kat_vectors, philox4x32 with 10 rounds).
TEST(Philox, KnownAnswers) {
  struct Answer {
    uint64_t key;
    PhiloxWords counter, result;
  };
  const std::vector<Answer> answers = {
      {0, {{0, 0, 0, 0}}, {{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}}},
      {~uint64_t{0}, {{~0u, ~0u, ~0u, ~0u}}, {{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}}},
      {0x299f31d0a4093822,
       {{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}},
       {{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}}},
  };
  for (const Answer& answer : answers)
    for (size_t i = 0; i < 4; ++i) EXPECT_EQ(philox(answer.key, answer.counter).word[i], answer.result.word[i]);
}

TEST(Philox, EveryPartOfTheKeyMatters) {
  const RandomKey key{1, RandomStream::data, 2, 3};
  const uint32_t bits = random_bits(key, 100);
  EXPECT_EQ(random_bits(key, 100), bits);
  EXPECT_NE(random_bits(key, 101), bits);
  EXPECT_NE(random_bits({2, RandomStream::data, 2, 3}, 100), bits);
  EXPECT_NE(random_bits({1, RandomStream::init, 2, 3}, 100), bits);
  EXPECT_NE(random_bits({1, RandomStream::data, 3, 3}, 100), bits);
  EXPECT_NE(random_bits({1, RandomStream::data, 2, 4}, 100), bits);
  EXPECT_NE(random_bits(key, 100 + (uint64_t{1} << 35)), bits);
  static_assert(salt_of("layers.0.ln1") != salt_of("layers.1.ln1"));
  EXPECT_LE(salt_of("dropout"), 0x1fffffffu);
}

TEST(Philox, UniformAndNormalHaveTheRightMoments) {
  const int64_t n = 200000;
  double sum = 0, squares = 0, fourth = 0, low = 1, high = 0;
  for (double v : normal({n}, 0, 1, {5}).to_vector<double>()) {
    sum += v;
    squares += v * v;
    fourth += v * v * v * v;
  }
  EXPECT_NEAR(sum / n, 0, 0.01);
  EXPECT_NEAR(squares / n, 1, 0.015);
  EXPECT_NEAR(fourth / n, 3, 0.15);
  sum = squares = 0;
  for (double v : uniform({n}, 0, 1, {6}).to_vector<double>()) {
    sum += v;
    squares += v * v;
    low = std::fmin(low, v);
    high = std::fmax(high, v);
  }
  EXPECT_NEAR(sum / n, 0.5, 0.005);
  EXPECT_NEAR(squares / n, 1.0 / 3, 0.005);
  EXPECT_GE(low, 0);
  EXPECT_LT(high, 1);
  EXPECT_LT(low, 1e-3);
  EXPECT_GT(high, 1 - 1e-3);
}

TEST(Philox, ElementsDoNotDependOnStrides) {
  const RandomKey key{9, RandomStream::init, 4, 0};
  const Tensor x = normal({5, 7}, 1, 2, key);
  for (const Tensor& y : strided_variants(zeros({5, 7}))) {
    fill_normal(y, 1, 2, key);
    expect_equal(y, x);
  }
  EXPECT_FLOAT_EQ(x.to_vector<float>()[13], static_cast<float>(1 + 2 * random_normal(key, 13)));
}

}  // namespace
}  // namespace vigor
