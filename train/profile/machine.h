#pragma once
// What this machine can do at most, measured: the two limits of a roofline (Williams, Waterman and Patterson 2009).
#include <time.h>

#include <algorithm>
#include <string>
#include <vector>

#include "tensor/device.h"
#include "tensor/dtype.h"

namespace vigor {

// Seconds on a clock: CLOCK_MONOTONIC, or the processor time of this process or thread, which leaves out what other
// programs had of the machine.
inline double seconds_on(clockid_t clock) {
  timespec time{};
  clock_gettime(clock, &time);
  return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
}

// Of an even number of values the upper one of the middle two.
inline double median(std::vector<double> values) {
  const auto middle = values.begin() + static_cast<int64_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

struct MachinePeaks {
  double fma_flops = 0;         // FLOP/s of multiply-adds on registers
  double read_bytes_per_s = 0;  // reading from memory, and nothing else
  double copy_bytes_per_s = 0;  // a copy in memory, bytes read and written
  int threads = 0;              // that took part; 0 on a GPU
  // The most that moves in memory of some size when it is used again and again: by growing size, from the caches to
  // memory itself. Reads and writes at once go beyond reading alone: memory does both at the same time.
  struct Bandwidth {
    double bytes, bytes_per_s, read_bytes_per_s;
  };
  std::vector<Bandwidth> bandwidths;

  // The shortest time for moving `bytes`, of which `read_bytes` are only read; all may lie in a cache beforehand.
  double memory_seconds(double bytes, double read_bytes) const;
};

// Of this CPU, in about half a second: what its threads do at their best, all at work at once.
MachinePeaks measure_machine(int threads);
// Of a GPU: a large copy, and a large square product in `dtype`. `quick`: small ones, for rehearsals.
MachinePeaks measure_gpu(Device device, Dtype dtype, bool quick);

// Multiply-adds of all threads on registers, over about a millisecond of `clock`: FLOP/s.
double measure_peak(int threads, clockid_t clock);

std::string cpu_name();  // "Intel(R) Xeon(R) Processor"

}  // namespace vigor
