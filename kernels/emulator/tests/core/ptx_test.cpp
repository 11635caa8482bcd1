// Instructions that nvcc emits rarely, written in PTX here, against their definitions.
#include <bit>
#include <cmath>
#include <cstdint>
#include <functional>
#include <limits>

#include "kernels/emulator/instruction_table.h"
#include "kernels/emulator/opcode.h"
#include "test_device.h"

namespace vigor::emulator {
namespace {

using u32 = uint32_t;
using s32 = int32_t;

constexpr size_t kThreads = 96;

// One thread an element: %r1, %r2, %r3 come from a, b, c; %r0 (also as %f0 by mov) is the result.
std::vector<u32> run(const std::string& body, const std::vector<u32>& a, const std::vector<u32>& b,
                     const std::vector<u32>& c) {
  const std::string text = R"(.version 9.0
.target sm_80
.address_size 64
.visible .entry k(.param .u64 out, .param .u64 in_a, .param .u64 in_b, .param .u64 in_c)
{
.reg .b16 %h<8>;
.reg .b32 %r<16>;
.reg .f32 %f<8>;
.reg .b64 %d<16>;
.reg .pred %p<8>;
ld.param.u64 %d8, [out];
ld.param.u64 %d9, [in_a];
ld.param.u64 %d10, [in_b];
ld.param.u64 %d11, [in_c];
mov.u32 %r8, %tid.x;
mul.wide.u32 %d12, %r8, 4;
add.s64 %d8, %d8, %d12;
add.s64 %d9, %d9, %d12;
add.s64 %d10, %d10, %d12;
add.s64 %d11, %d11, %d12;
ld.global.u32 %r1, [%d9];
ld.global.u32 %r2, [%d10];
ld.global.u32 %r3, [%d11];
mov.b32 %f1, %r1;
mov.b32 %f2, %r2;
mov.b32 %f3, %r3;
)" + body + "\nst.global.u32 [%d8], %r0;\nret;\n}\n";
  DeviceMemory memory(1 << 20);
  const Module module(text, "test.ptx", memory);
  std::vector<std::byte> parameters(32);
  uint64_t addresses[4];
  const std::vector<u32>* inputs[] = {&a, &a, &b, &c};
  for (size_t i = 0; i < 4; ++i) {
    addresses[i] = memory.allocate(4 * kThreads);
    std::memcpy(memory.translate(addresses[i], 4 * kThreads, "test"), inputs[i]->data(), 4 * kThreads);
  }
  std::memcpy(parameters.data(), addresses, 32);
  launch(module, "k", {{1}, {kThreads}}, parameters);
  std::vector<u32> result(kThreads);
  std::memcpy(result.data(), memory.translate(addresses[0], 4 * kThreads, "test"), 4 * kThreads);
  return result;
}

// Bit patterns with edges of integers and floats among them.
std::vector<u32> pattern(u32 seed) {
  const u32 edges[] = {0,          1,          0xffffffff, 0x80000000, 0x7fffffff, 0x7f800000, 0xff800000,
                       0x7fc00000, 0x00000001, 0x3f800000, 0xbf800000, 0x00800000, 0x42c80000, 0x12345678};
  std::vector<u32> values;
  u32 state = seed * 2654435761u + 1;
  for (size_t i = 0; i < kThreads; ++i) {
    state = state * 1664525u + 1013904223u;
    values.push_back(i % 3 == seed % 3 ? edges[(i / 3 + seed) % std::size(edges)] : state >> (state % 20));
  }
  return values;
}

void expect(const std::string& body, const std::function<u32(u32, u32, u32)>& f) {
  const auto a = pattern(1), b = pattern(2), c = pattern(3);
  const auto got = run(body, a, b, c);
  for (size_t i = 0; i < kThreads; ++i) {
    ASSERT_EQ(f(a[i], b[i], c[i]), got[i]) << body << std::hex << " of " << a[i] << ", " << b[i] << ", " << c[i];
  }
}

float as_float(u32 bits) { return std::bit_cast<float>(bits); }

TEST(Ptx, Bits) {
  expect("lop3.b32 %r0, %r1, %r2, %r3, 0xE8;", [](u32 a, u32 b, u32 c) { return (a & b) | (a & c) | (b & c); });
  expect("cnot.b32 %r0, %r1;", [](u32 a, u32, u32) { return u32{a == 0}; });
  expect("bfind.u32 %r0, %r1;", [](u32 a, u32, u32) { return a ? 31u - static_cast<u32>(std::countl_zero(a)) : ~0u; });
  expect("bfind.shiftamt.s32 %r0, %r1;", [](u32 a, u32, u32) {
    const u32 x = static_cast<s32>(a) < 0 ? ~a : a;
    return x ? static_cast<u32>(std::countl_zero(x)) : ~0u;
  });
  expect("shf.r.wrap.b32 %r0, %r1, %r2, %r3;",
         [](u32 a, u32 b, u32 c) { return static_cast<u32>((uint64_t{b} << 32 | a) >> (c & 31)); });
  expect("shl.b32 %r0, %r1, %r3;", [](u32 a, u32, u32 c) { return c < 32 ? a << c : 0; });
  expect("shr.s32 %r0, %r1, %r3;",
         [](u32 a, u32, u32 c) { return static_cast<u32>(static_cast<s32>(a) >> std::min(c, 31u)); });
  expect("slct.u32.s32 %r0, %r1, %r2, %r3;", [](u32 a, u32 b, u32 c) { return static_cast<s32>(c) >= 0 ? a : b; });
  expect("slct.u32.f32 %r0, %r1, %r2, %f3;", [](u32 a, u32 b, u32 c) { return as_float(c) >= 0 ? a : b; });
  expect("mov.b32 {%h1, %h2}, %r1; mov.b32 %r0, {%h2, %h1};", [](u32 a, u32, u32) { return a << 16 | a >> 16; });
  expect("mov.b64 %d1, {%r1, %r2}; shr.u64 %d1, %d1, 16; mov.b64 {%r0, _}, %d1;",
         [](u32 a, u32 b, u32) { return a >> 16 | b << 16; });
}

TEST(Ptx, IntegerArithmetic) {
  expect("add.cc.u32 %r4, %r1, %r2; addc.cc.u32 %r5, %r2, %r3; addc.u32 %r0, %r5, 0;", [](u32 a, u32 b, u32 c) {
    const uint64_t low = uint64_t{a} + b, high = uint64_t{b} + c + (low >> 32);
    return static_cast<u32>(high) + static_cast<u32>(high >> 32);
  });
  expect("sub.cc.u32 %r4, %r1, %r2; subc.u32 %r0, %r3, %r4;",
         [](u32 a, u32 b, u32 c) { return c - (a - b) - (a < b); });
  expect("mad.lo.cc.u32 %r4, %r1, %r2, %r3; madc.hi.u32 %r0, %r1, %r2, %r4;", [](u32 a, u32 b, u32 c) {
    const uint64_t product = uint64_t{a} * b, low = (product & 0xffffffff) + c;
    return static_cast<u32>(product >> 32) + static_cast<u32>(low) + static_cast<u32>(low >> 32);
  });
  expect("add.sat.s32 %r0, %r1, %r2;", [](u32 a, u32 b, u32) {
    const int64_t sum = int64_t{static_cast<s32>(a)} + static_cast<s32>(b);
    return static_cast<u32>(std::clamp<int64_t>(sum, INT32_MIN, INT32_MAX));
  });
  expect("mad24.lo.s32 %r0, %r1, %r2, %r3;", [](u32 a, u32 b, u32 c) {
    return static_cast<u32>(int64_t{static_cast<s32>(a << 8) >> 8} * (static_cast<s32>(b << 8) >> 8)) + c;
  });
  expect("dp2a.hi.s32.s32 %r0, %r1, %r2, %r3;", [](u32 a, u32 b, u32 c) {
    return c + static_cast<u32>(static_cast<int16_t>(a) * static_cast<int8_t>(b >> 16) +
                                static_cast<int16_t>(a >> 16) * static_cast<int8_t>(b >> 24));
  });
  expect("cvt.sat.s8.s32 %r0, %r1; cvt.s32.s8 %r0, %r0;",
         [](u32 a, u32, u32) { return static_cast<u32>(std::clamp(static_cast<s32>(a), -128, 127)); });
  expect("cvt.sat.u16.s32 %h1, %r1; cvt.u32.u16 %r0, %h1;",
         [](u32 a, u32, u32) { return static_cast<u32>(std::clamp(static_cast<s32>(a), 0, 65535)); });
  // An immediate that is negative; a 64-bit register that a 32-bit type reads and fills.
  expect(
      "cvt.s64.s32 %d1, %r1; add.s64 %d1, %d1, -5; st.global.u32 [%d8], %d1; ld.global.s32 %d2, [%d8];"
      "shr.s64 %d2, %d2, 4; cvt.u32.u64 %r0, %d2;",
      [](u32 a, u32, u32) { return static_cast<u32>(int64_t{static_cast<s32>(a - 5)} >> 4); });
}

TEST(Ptx, FloatQuestions) {
  expect("setp.leu.f32 %p1, %f1, %f2; selp.u32 %r0, 1, 0, %p1;",
         [](u32 a, u32 b, u32) { return u32{!(as_float(a) > as_float(b))}; });
  expect("setp.nan.f32 %p1|%p2, %f1, %f2; selp.u32 %r4, 1, 0, %p1; selp.u32 %r5, 2, 0, %p2; add.u32 %r0, %r4, %r5;",
         [](u32 a, u32 b, u32) { return std::isnan(as_float(a)) || std::isnan(as_float(b)) ? 1u : 2u; });
  expect("setp.lt.s32 %p1, %r1, 0; setp.gt.and.u32 %p2, %r2, %r3, !%p1; selp.u32 %r0, 7, 9, %p2;",
         [](u32 a, u32 b, u32 c) { return b > c && static_cast<s32>(a) >= 0 ? 7u : 9u; });
  expect("set.gt.u32.f32 %r0, %f1, %f2;", [](u32 a, u32 b, u32) { return as_float(a) > as_float(b) ? ~0u : 0u; });
  expect(
      "testp.subnormal.f32 %p1, %f1; testp.infinite.f32 %p2, %f1; selp.u32 %r4, 1, 0, %p1; selp.u32 %r0, 2, %r4, %p2;",
      [](u32 a, u32, u32) {
        const int kind = std::fpclassify(as_float(a));
        return kind == FP_INFINITE ? 2u : (kind == FP_SUBNORMAL ? 1u : 0u);
      });
  expect("max.NaN.f32 %f4, %f1, %f2; testp.notanumber.f32 %p1, %f4; selp.u32 %r0, 1, 0, %p1;",
         [](u32 a, u32 b, u32) { return u32{std::isnan(as_float(a)) || std::isnan(as_float(b))}; });
}

// Directed rounding to 16 bits: the neighbours on the wanted side.
TEST(Ptx, HalfRounding) {
  const auto exponent_bits = [](u32 h) { return h & 0x7c00u; };
  const auto value = [](u32 h) {
    const int exponent = static_cast<int>(h >> 10 & 31), mantissa = static_cast<int>(h & 1023);
    const double magnitude = exponent ? std::ldexp(1024 + mantissa, exponent - 25) : std::ldexp(mantissa, -24);
    return h & 0x8000 ? -magnitude : magnitude;
  };
  std::vector<u32> a = pattern(4);
  for (size_t i = 0; i < kThreads; i += 2) a[i] = 0x3f800000u + static_cast<u32>(i) * 0x00123457u;
  for (size_t i = 1; i < kThreads; i += 4) a[i] = 0xb3000000u + static_cast<u32>(i) * 0x00043210u;  // subnormal results
  const auto down = run("cvt.rm.f16.f32 %h1, %f1; cvt.u32.u16 %r0, %h1;", a, a, a);
  const auto up = run("cvt.rp.f16.f32 %h1, %f1; cvt.u32.u16 %r0, %h1;", a, a, a);
  for (size_t i = 0; i < kThreads; ++i) {
    const double x = static_cast<double>(as_float(a[i]));
    if (std::isnan(x)) continue;
    if (exponent_bits(down[i]) != 0x7c00) {
      ASSERT_LE(value(down[i]), x) << std::hex << a[i];
    }
    if (exponent_bits(up[i]) != 0x7c00) {
      ASSERT_GE(value(up[i]), x) << std::hex << a[i];
    }
    // Neighbours, or the same: the numbers in between are none.
    const auto order = [](u32 h) { return h & 0x8000 ? -static_cast<int>(h & 0x7fff) : static_cast<int>(h); };
    ASSERT_LE(order(up[i]) - order(down[i]), 1) << std::hex << a[i];
    ASSERT_GE(order(up[i]) - order(down[i]), 0) << std::hex << a[i];
  }
}

TEST(Ptx, BranchTable) {
  expect(
      "and.b32 %r4, %r1, 3;\n"
      "labels: .branchtargets L0, L1, L2, L1;\n"
      "brx.idx %r4, labels;\n"
      "L0: mov.u32 %r0, 100; bra.uni end;\n"
      "L1: add.u32 %r0, %r2, 1; bra.uni end;\n"
      "L2: mov.u32 %r0, %r3;\n"
      "end:\n",
      [](u32 a, u32 b, u32 c) { return (a & 3) == 0 ? 100u : ((a & 3) == 2 ? c : b + 1); });
}

// Names inside braces hide those outside; families and single registers live side by side.
TEST(Ptx, Scopes) {
  expect(
      "{ .reg .b32 %r1, x; .reg .b32 t<3>; mov.u32 %r1, 5; mov.u32 x, 6; add.u32 t2, %r1, x; mov.u32 %r4, t2; }\n"
      "add.u32 %r0, %r1, %r4;",
      [](u32 a, u32, u32) { return a + 11; });
}

TEST(Ptx, InstructionTable) {
  const auto rows = all_rows();
  EXPECT_GT(rows.size(), 900u);
  EXPECT_EQ("fma.f32", find_opcode("fma.rn.ftz.f32", 0, false)->name);
  EXPECT_FALSE(find_opcode("fma.rz.bf16", 0, false));  // bf16 rounds to nearest only
  EXPECT_FALSE(find_opcode("ld.global.tex.f32", 0, false));
  EXPECT_EQ("ld.v4.b32", find_opcode("ld.global.nc.L1::no_allocate.v4.f32", 4, true)->name);
}

}  // namespace
}  // namespace vigor::emulator
