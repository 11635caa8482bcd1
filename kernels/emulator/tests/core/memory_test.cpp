// Memory of all kinds; reports of accesses that are out of bounds or misaligned.
#include <cstdint>
#include <limits>

#include "test_device.h"

namespace vigor::emulator {
namespace {

class Memory : public testing::Test {
 protected:
  template <class T>
  void add_one(const std::string& kernel) {
    std::vector<T> in, want;
    for (int i = 0; i < 77; ++i) {
      in.push_back(static_cast<T>(i * 1237));
      want.push_back(static_cast<T>(in.back() + 1));
    }
    const uint64_t from = device_.upload(in), to = device_.zeros<T>(77);
    device_.launch(kernel, {{3}, {32}}, to, from, 77);
    EXPECT_EQ(want, device_.download<T>(to, 77)) << kernel;
  }
  void expect_in(const std::string& part, const std::string& report) {
    EXPECT_NE(std::string::npos, report.find(part)) << report;
  }
  TestDevice device_{"memory"};
};

TEST_F(Memory, Widths) {
  add_one<int8_t>("add_one_s8");
  add_one<uint16_t>("add_one_u16");
  add_one<double>("add_one_f64");
}

TEST_F(Memory, SignedBytesBecomeWide) {
  std::vector<int8_t> bytes;
  std::vector<int> index;
  for (int i = 0; i < 32; ++i) bytes.push_back(static_cast<int8_t>(i * 8 - 128)), index.push_back(i * 5 % 32);
  const uint64_t in = device_.upload(bytes), at = device_.upload(index), out = device_.zeros<int64_t>(32);
  device_.launch("widen", {{1}, {32}}, out, in, at, 30);
  const auto got = device_.download<int64_t>(out, 32);
  for (size_t i = 0; i < 30; ++i) EXPECT_EQ(bytes[static_cast<size_t>(index[i])], got[i]);
  EXPECT_EQ(0, got[31]);
}

TEST_F(Memory, Vectors) {
  const int n = 45;
  std::vector<float> in;
  std::vector<uint32_t> pairs;
  for (int i = 0; i < 4 * n; ++i) in.push_back(0.5f * static_cast<float>(i));
  for (int i = 0; i < 2 * n; ++i) pairs.push_back(static_cast<uint32_t>(i));
  const uint64_t from = device_.upload(in), other = device_.upload(pairs), to = device_.zeros<float>(in.size());
  device_.launch("vectors", {{2}, {32}}, to, from, other, n);
  const auto got = device_.download<float>(to, in.size());
  for (size_t i = 0; i < static_cast<size_t>(n); ++i) {
    EXPECT_EQ(in[4 * i + 3], got[4 * i]);
    EXPECT_EQ(in[4 * i + 2] + static_cast<float>(pairs[2 * i]), got[4 * i + 1]);
    EXPECT_EQ(in[4 * i + 1], got[4 * i + 2]);
    EXPECT_EQ(in[4 * i] * static_cast<float>(pairs[2 * i + 1]), got[4 * i + 3]);
  }
}

TEST_F(Memory, ModuleVariables) {
  const ModuleVariable* from_host = device_.module().find_variable("from_host");
  ASSERT_NE(nullptr, from_host);
  EXPECT_TRUE(from_host->constant);
  ASSERT_EQ(32u, from_host->bytes);
  const int values[8] = {10, 20, 30, 40, 50, 60, 70, 80};
  std::memcpy(device_.memory().translate(from_host->address, 32, "test"), values, 32);
  const uint64_t out = device_.zeros<float>(32), numbers = device_.zeros<int>(3);
  device_.launch("variables", {{1}, {32}}, out, numbers);
  EXPECT_EQ(std::vector<int>({42, 36, 'o'}), device_.download<int>(numbers, 3));
  const auto got = device_.download<float>(out, 32);
  const float coefficients[] = {1.0f, -2.0f, 3.5f, 0.25f};
  for (size_t i = 0; i < 32; ++i) EXPECT_EQ(coefficients[i % 4] + static_cast<float>(values[i % 8]), got[i]);
  device_.launch("variables", {{1}, {32}}, out, numbers);
  EXPECT_EQ(43, device_.download<int>(numbers, 3)[0]);  // variables keep their values
}

TEST_F(Memory, GenericPointers) {
  std::vector<int> values(32);
  for (int i = 0; i < 32; ++i) values[static_cast<size_t>(i)] = i * i;
  const uint64_t device = device_.upload(values), out = device_.zeros<int>(32);
  device_.launch("generic_pointers", {{1}, {32}}, out, device);
  const auto got = device_.download<int>(out, 32);
  for (int i = 0; i < 32; ++i) {
    const int local[] = {0, 1, 2, i};
    const int want = i % 3 == 0 ? i * i + 4000 : i % 3 == 1 ? 500 + i + 1000 : local[i % 4] + 2000;
    EXPECT_EQ(want + 1, got[static_cast<size_t>(i)]) << i;
  }
}

TEST_F(Memory, AsyncCopiesLandAtTheirWait) {
  std::vector<int> in(256);
  for (int i = 0; i < 256; ++i) in[static_cast<size_t>(i)] = i + 1;
  const uint64_t from = device_.upload(in), out = device_.zeros<int>(128);
  device_.launch("async_copy", {{1}, {32}}, out, from, 20);
  const auto got = device_.download<int>(out, 128);
  for (size_t i = 0; i < 32; ++i) {
    EXPECT_EQ(-1, got[i]);
    EXPECT_EQ(in[4 * i + 1], got[32 + i]);
    EXPECT_EQ(-1, got[64 + i]);
    EXPECT_EQ(31 - i < 20 ? in[128 + 4 * (31 - i) + 3] : 0, got[96 + i]);
  }
}

// Bytes that a copy fills with zeros need not exist.
TEST_F(Memory, AsyncCopyReadsOnlyWhatItWasTold) {
  const uint64_t from = device_.zeros<int>(128 + 4 * 20), out = device_.zeros<int>(128);
  device_.launch("async_copy", {{1}, {32}}, out, from, 20);
  expect_in("out of bounds", device_.fault(FaultKind::illegal_address, "async_copy", {{1}, {32}}, out, from, 21));
}

TEST_F(Memory, Print) {
  testing::internal::CaptureStdout();
  device_.launch("print", {{1}, {32}}, 2);
  EXPECT_EQ("thread 0:  0.00 text 1099511627776 x %\nthread 1:  0.50 text 1099511627776 x %\n",
            testing::internal::GetCapturedStdout());
}

TEST_F(Memory, OutOfBounds) {
  const uint64_t out = device_.zeros<int>(100), in = device_.zeros<int>(50);
  std::string report = device_.fault(FaultKind::illegal_address, "write_at", {{1}, {1}}, out, int64_t{100});
  expect_in("write of 4 bytes", report);
  expect_in("0 bytes after the end of the allocation", report);
  expect_in("(400 bytes)", report);
  expect_in("kernel  write_at", report);
  report = device_.fault(FaultKind::illegal_address, "read_at", {{1}, {1}}, out, in, int64_t{-3});
  expect_in("12 bytes before the allocation", report);
  report = device_.fault(FaultKind::illegal_address, "guard_off_by_one", {{2}, {64}}, out, in, 50);
  expect_in("thread (50,0,0)", report);
  expect_in("read of 4 bytes", report);
  device_.launch("guard_off_by_one", {{2}, {64}}, out, in, 49);
  report = device_.fault(FaultKind::illegal_address, "write_at", {{1}, {1}}, uint64_t{0}, int64_t{0});
  expect_in("a null pointer", report);
  device_.memory().free(in);
  report = device_.fault(FaultKind::illegal_address, "read_at", {{1}, {1}}, out, in, int64_t{7});
  expect_in("28 bytes into the allocation", report);
  expect_in("that was freed", report);
  static int on_host[4];
  expect_in("not a device address",
            device_.fault(FaultKind::illegal_address, "write_at", {{1}, {1}}, static_cast<int*>(on_host), int64_t{0}));
  report = device_.fault(FaultKind::illegal_address, "local_overrun", {{1}, {1}}, out, 9);
  expect_in("local address", report);
  expect_in("constant memory", device_.fault(FaultKind::illegal_address, "write_constant", {{1}, {1}}, 2));
}

TEST_F(Memory, HostMemoryThatTheDeviceMayTouch) {
  std::vector<int> pinned(10);
  device_.memory().add_host_range(pinned.data(), pinned.size() * sizeof(int), RangeKind::pinned);
  device_.launch("write_at", {{1}, {1}}, pinned.data(), int64_t{9});
  EXPECT_EQ(1, pinned[9]);
  expect_in("pinned host allocation",
            device_.fault(FaultKind::illegal_address, "write_at", {{1}, {1}}, pinned.data(), int64_t{10}));
  device_.memory().remove_host_range(pinned.data());
  device_.fault(FaultKind::illegal_address, "write_at", {{1}, {1}}, pinned.data(), int64_t{9});
}

TEST_F(Memory, Misaligned) {
  const uint64_t out = device_.zeros<int>(8), in = device_.zeros<int>(8);
  const std::string report = device_.fault(FaultKind::misaligned_address, "misaligned", {{1}, {1}}, out, in);
  expect_in("read of 16 bytes", report);
  expect_in("4 bytes into the allocation", report);
}

TEST_F(Memory, Assertion) {
  device_.launch("asserts", {{1}, {32}}, 8);
  const std::string report = device_.fault(FaultKind::device_assert, "asserts", {{1}, {32}}, 7);
  expect_in("assertion failed: threadIdx.x < limit (memory.cu:7, asserts)", report);
}

TEST(DeviceMemory, Allocations) {
  DeviceMemory memory(1 << 20);
  const uint64_t a = memory.allocate(1000), b = memory.allocate(1), empty = memory.allocate(0);
  EXPECT_EQ(0u, a % DeviceMemory::kAlignment);
  EXPECT_GE(b, a + 1000 + DeviceMemory::kAlignment);
  EXPECT_NE(empty, b);
  EXPECT_EQ(1001u, memory.bytes_in_use());
  EXPECT_TRUE(memory.find(a + 999));
  EXPECT_FALSE(memory.find(a + 999, 2));
  EXPECT_FALSE(memory.find(a + 1000));
  EXPECT_THROW(memory.free(a + 8), Fault);
  memory.free(a);
  EXPECT_THROW(memory.free(a), Fault);
  EXPECT_THROW(memory.translate(a, 1, "test"), Fault);
  EXPECT_THROW(memory.allocate(2 << 20), Fault);
  // An address is given out again only when the window has been used up.
  for (int i = 0; i < 5000; ++i) memory.free(memory.allocate(3000));
  EXPECT_EQ(1u, memory.bytes_in_use());
  std::memset(memory.translate(b, 1, "test"), 7, 1);
}

TEST(ModuleErrors, NameTheLine) {
  DeviceMemory memory(1 << 20);
  const auto message = [&](const std::string& ptx, const char* kernel) -> std::string {
    try {
      const Module module(".version 9.0\n.target sm_80\n.address_size 64\n" + ptx, "broken.ptx", memory);
      module.code(kernel);
    } catch (const Fault& fault) {
      EXPECT_EQ(FaultKind::invalid_ptx, fault.kind());
      return fault.what();
    }
    return "no error";
  };
  const auto body = [](const std::string& text) {
    return ".visible .entry k()\n{\n.reg .b32 %r<4>;\n.reg .b64 %rd<3>;\n" + text + "\nret;\n}\n";
  };
  EXPECT_EQ("no error", message(body("add.s32 %r1, %r2, 3;"), "k"));
  EXPECT_EQ("broken.ptx:8: the emulator does not have this instruction, at 'frobnicate.u32' of kernel k",
            message(body("frobnicate.u32 %r1, %r2;"), "k"));
  EXPECT_NE(std::string::npos, message(body("add.rz.s32 %r1, %r2, %r3;"), "k").find("does not have"));
  EXPECT_NE(std::string::npos, message(body("add.s32 %r1, %r2;"), "k").find("too few operands"));
  EXPECT_NE(std::string::npos, message(body("add.s32 %r1, %r2, %r9;"), "k").find("'%r9' is not declared"));
  EXPECT_NE(std::string::npos, message(body("add.s64 %rd1, %r1, 1;"), "k").find("'%r1' is too narrow"));
  EXPECT_NE(std::string::npos, message(body("bra nowhere;"), "k").find("no label 'nowhere'"));
  EXPECT_NE(std::string::npos, message(".surprise;\n", "k").find("broken.ptx:4: '.surprise'"));
  EXPECT_NE(std::string::npos, message(body("call later;"), "k").find("'later' is neither defined"));
}

}  // namespace
}  // namespace vigor::emulator
