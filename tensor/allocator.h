#pragma once
// Memory with reuse. Blocks given back are kept and handed out again, so that a training loop, whose steps ask for the
// same sizes in the same order, asks the system for nothing after its first steps. Requests up to 64 KB come from bins
// of equal blocks; larger ones are cut from big segments, best fit first, and merged with free neighbours when freed.
#include <cstddef>
#include <cstdint>
#include <memory>

#include "tensor/device.h"

namespace vigor {

struct AllocatorStats {
  size_t current_bytes = 0;      // in use by tensors now
  size_t peak_bytes = 0;         // highest current_bytes since reset_peak()
  size_t reserved_bytes = 0;     // held from the system
  uint64_t system_requests = 0;  // how often the system was asked for memory: constant in steady state
};

class Allocator {
 public:
  struct Block;  // opaque
  struct Allocation {
    void* data = nullptr;  // aligned to 64 bytes
    Block* block = nullptr;
  };

  // The system underneath: mmap on a CPU, cudaMalloc on a GPU.
  class System {
   public:
    virtual ~System() = default;
    virtual void* reserve(size_t nbytes) = 0;  // aligned to 64 bytes; nullptr when there is no more
    virtual void release(void* data, size_t nbytes) = 0;
    // For checkers of memory accesses: these bytes are in nobody's hands and must not be touched; they are in
    // somebody's, uninitialised. `gap()` bytes after each allocation stay in nobody's hands.
    virtual void forbid(void*, size_t) {}
    virtual void allow(void*, size_t) {}
    virtual size_t gap() const { return 0; }
  };

  // gives_back: when the system has no more, unused segments are returned to it first. Not for memory that a recorded
  // graph will use again.
  explicit Allocator(std::unique_ptr<System> system, bool gives_back = true);
  ~Allocator();
  Allocator(const Allocator&) = delete;
  Allocator& operator=(const Allocator&) = delete;

  // Uninitialised bytes; throws std::runtime_error when the system has no more. Thread-safe.
  Allocation allocate(size_t nbytes);
  void free(Block* block);
  AllocatorStats stats() const;
  void reset_peak();
  // Gives segments that no block is in use of back to the system.
  void release_unused();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

// The allocator of a device; lives as long as the program.
Allocator& allocator_of(Device device);

// While it lives, allocator_of(kCuda) on this thread is `allocator`: a captured step keeps its memory to itself, since
// it will write to the same addresses whenever it is replayed.
class CudaAllocatorScope {
 public:
  explicit CudaAllocatorScope(Allocator& allocator);
  ~CudaAllocatorScope();
  CudaAllocatorScope(const CudaAllocatorScope&) = delete;
  CudaAllocatorScope& operator=(const CudaAllocatorScope&) = delete;

 private:
  Allocator* outer_;
};

}  // namespace vigor
