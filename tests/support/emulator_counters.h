#pragma once
// What the kernels of a call did, counted by the emulated device. On a GPU there are no such counts: tests skip these
// assertions there.
//
//   const auto counters = count_kernels("layer_norm", [&] { layer_norm(x, weight, bias); });
//   if (counters) EXPECT_EQ(counters->global_bytes_read, bytes_read_by_the_card);
#include <dlfcn.h>
#include <gtest/gtest.h>

#include <optional>

#include "kernels/emulator/runtime/counters_api.h"

namespace vigor::testing {

using KernelCounters = vigor_emulator_counters;

// Runs f() and returns the sum over all launches of kernels whose readable name ("vigor::softmax<float>(...)") contains
// `name_part`; nothing when the program does not run on the emulated device.
template <class F>
std::optional<KernelCounters> count_kernels(const char* name_part, F&& f) {
  const auto reset =
      reinterpret_cast<decltype(&vigor_emulator_reset_counters)>(dlsym(RTLD_DEFAULT, "vigor_emulator_reset_counters"));
  const auto read = reinterpret_cast<decltype(&vigor_emulator_kernel_counters)>(
      dlsym(RTLD_DEFAULT, "vigor_emulator_kernel_counters"));
  if (reset != nullptr) reset();
  f();
  KernelCounters counters{};
  if (read == nullptr || read(name_part, &counters) != 0) return std::nullopt;
  return counters;
}

// The kernels of f() whose name contains `name_part` read and write as many bytes of device memory as the operation's
// card says, give or take 2 %, and in whole sectors of 32 bytes: neighbouring threads access neighbouring bytes.
template <class F>
void expect_bytes_moved(const char* name_part, double read, double written, F&& f, const char* file = __builtin_FILE(),
                        int line = __builtin_LINE()) {
  const auto counters = count_kernels(name_part, f);
  if (!counters) return;
  const ::testing::ScopedTrace trace(file, line, name_part);
  EXPECT_GE(counters->launches, 1u) << "no kernel of this name ran";
  EXPECT_NEAR(static_cast<double>(counters->global_bytes_read), read, 0.02 * read);
  EXPECT_NEAR(static_cast<double>(counters->global_bytes_written), written, 0.02 * written);
  EXPECT_LE(static_cast<double>(counters->global_sectors) * 32, 1.03 * (read + written));
}

}  // namespace vigor::testing
