#include "tensor/allocator.h"

#include <sys/mman.h>

#include <algorithm>
#include <array>
#include <bit>
#include <mutex>
#include <set>
#include <vector>

#include "tensor/check.h"
#include "tensor/device_cuda.h"

#if defined(__SANITIZE_ADDRESS__)
#define VIGOR_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define VIGOR_ASAN 1
#endif
#endif
#ifdef VIGOR_ASAN
#include <sanitizer/asan_interface.h>
#endif

namespace vigor {
namespace {

constexpr size_t kAlignment = 64;
constexpr size_t kHugePage = size_t{2} << 20;
constexpr size_t kSmallLimit = size_t{64} << 10;    // larger requests are cut from segments
constexpr size_t kSegmentBytes = size_t{32} << 20;  // of a segment that several requests share

size_t round_up(size_t n, size_t multiple) { return (n + multiple - 1) / multiple * multiple; }

// Small sizes in steps of a quarter of a power of two: at most 25 % is lost to rounding.
size_t small_class_bytes(size_t nbytes) {
  if (nbytes <= 4 * kAlignment) return std::max(round_up(nbytes, kAlignment), kAlignment);
  return round_up(nbytes, std::max(std::bit_ceil(nbytes) / 8, kAlignment));
}

class HostSystem : public Allocator::System {
 public:
  void* reserve(size_t nbytes) override {
    void* data = mmap(nullptr, nbytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (data == MAP_FAILED) return nullptr;
#ifdef MADV_HUGEPAGE
    madvise(data, nbytes, MADV_HUGEPAGE);  // fewer TLB misses over hundreds of megabytes; refusal does no harm
#endif
    return data;
  }
  void release(void* data, size_t nbytes) override { munmap(data, nbytes); }
#ifdef VIGOR_ASAN
  void forbid(void* data, size_t nbytes) override { __asan_poison_memory_region(data, nbytes); }
  void allow(void* data, size_t nbytes) override { __asan_unpoison_memory_region(data, nbytes); }
#endif
};

}  // namespace

struct Allocator::Block {
  std::byte* data = nullptr;
  size_t nbytes = 0;
  bool is_free = false;
  bool in_bin = false;        // from a bin: has no neighbours
  Block* previous = nullptr;  // neighbours in the segment, by address
  Block* next = nullptr;
};

struct Allocator::State {
  struct BySize {
    bool operator()(const Block* a, const Block* b) const {
      return a->nbytes != b->nbytes ? a->nbytes < b->nbytes : a->data < b->data;
    }
  };
  struct Bin {
    size_t nbytes = 0;
    std::vector<Block*> free;
  };
  struct Segment {
    void* data;
    size_t nbytes;
    Block* first;
  };

  std::unique_ptr<System> system;
  bool gives_back = true;
  mutable std::mutex mutex;
  AllocatorStats stats;
  std::set<Block*, BySize> free_blocks;
  std::vector<Bin> bins;  // sorted by nbytes
  std::vector<Segment> segments;
  std::vector<std::unique_ptr<Block[]>> slabs;  // the Block records of bins

  // A new segment of `nbytes`; near the end of memory one of `least`.
  Block* segment(size_t nbytes, size_t least) {
    void* data = system->reserve(nbytes);
    if (data == nullptr) {
      nbytes = least;
      data = system->reserve(nbytes);
    }
    if (data == nullptr && gives_back) {  // segments too small for this request may hold what is missing
      release_unused();
      data = system->reserve(nbytes);
    }
    if (data == nullptr)
      throw std::runtime_error(fmt::format("out of memory: {} MB more were needed, {} MB are in use", nbytes >> 20,
                                           stats.current_bytes >> 20));
    stats.reserved_bytes += nbytes;
    ++stats.system_requests;
    auto* block = new Block{static_cast<std::byte*>(data), nbytes, true, false, nullptr, nullptr};
    segments.push_back({data, nbytes, block});
    return block;
  }

  // Segments of which no part is in use go back to the system.
  void release_unused() {
    std::erase_if(segments, [&](const Segment& segment) {
      if (!segment.first->is_free || segment.first->next != nullptr) return false;
      free_blocks.erase(segment.first);
      delete segment.first;
      system->allow(segment.data, segment.nbytes);
      system->release(segment.data, segment.nbytes);
      stats.reserved_bytes -= segment.nbytes;
      return true;
    });
  }

  Block* take_large(size_t nbytes) {
    nbytes = round_up(nbytes, kAlignment);
    Block wanted;
    wanted.nbytes = nbytes;
    Block* block;
    if (auto found = free_blocks.lower_bound(&wanted); found != free_blocks.end()) {
      block = *found;
      free_blocks.erase(found);
    } else {
      const size_t least = round_up(nbytes, kHugePage);
      block = segment(nbytes > kSegmentBytes / 2 ? least : kSegmentBytes, least);
    }
    block->is_free = false;
    if (block->nbytes - nbytes > kSmallLimit) {  // keep the rest
      auto* rest = new Block{block->data + nbytes, block->nbytes - nbytes, true, false, block, block->next};
      if (rest->next != nullptr) rest->next->previous = rest;
      block->next = rest;
      block->nbytes = nbytes;
      free_blocks.insert(rest);
    }
    return block;
  }

  Block* take_small(size_t nbytes) {
    nbytes = small_class_bytes(nbytes);
    auto bin = std::lower_bound(bins.begin(), bins.end(), nbytes, [](const Bin& b, size_t n) { return b.nbytes < n; });
    if (bin == bins.end() || bin->nbytes != nbytes) {
      bin = bins.insert(bin, Bin{nbytes, {}});
    }
    if (bin->free.empty()) {
      const size_t count = std::max<size_t>(size_t{128} * 1024 / nbytes, 4);
      Block* slab = take_large(count * nbytes);
      slabs.push_back(std::make_unique<Block[]>(count));
      for (size_t i = count; i-- > 0;) {
        Block& block = slabs.back()[i];
        block.data = slab->data + i * nbytes;
        block.nbytes = nbytes;
        block.in_bin = true;
        bin->free.push_back(&block);
      }
    }
    Block* block = bin->free.back();
    bin->free.pop_back();
    return block;
  }

  Bin& bin_of(const Block& block) {
    return *std::lower_bound(bins.begin(), bins.end(), block.nbytes,
                             [](const Bin& b, size_t n) { return b.nbytes < n; });
  }

  void merge_with_next(Block* block) {
    Block* next = block->next;
    block->nbytes += next->nbytes;
    block->next = next->next;
    if (block->next != nullptr) block->next->previous = block;
    delete next;
  }

  void give_back_large(Block* block) {
    if (block->next != nullptr && block->next->is_free) {
      free_blocks.erase(block->next);
      merge_with_next(block);
    }
    if (block->previous != nullptr && block->previous->is_free) {
      block = block->previous;
      free_blocks.erase(block);
      merge_with_next(block);
    }
    block->is_free = true;
    free_blocks.insert(block);
  }
};

Allocator::Allocator(std::unique_ptr<System> system, bool gives_back) : state_(std::make_unique<State>()) {
  state_->system = std::move(system);
  state_->gives_back = gives_back;
}

Allocator::~Allocator() {
  for (const State::Segment& segment : state_->segments) {
    state_->system->allow(segment.data, segment.nbytes);
    state_->system->release(segment.data, segment.nbytes);
    for (Block* block = segment.first; block != nullptr;) {
      Block* next = block->next;
      delete block;
      block = next;
    }
  }
}

Allocator::Allocation Allocator::allocate(size_t nbytes) {
  State& s = *state_;
  const std::lock_guard lock(s.mutex);
  const size_t with_gap = nbytes + s.system->gap();
  Block* block = with_gap <= kSmallLimit ? s.take_small(with_gap) : s.take_large(with_gap);
  s.stats.current_bytes += block->nbytes;
  s.stats.peak_bytes = std::max(s.stats.peak_bytes, s.stats.current_bytes);
  s.system->allow(block->data, nbytes);
  s.system->forbid(block->data + nbytes, block->nbytes - nbytes);
  return {block->data, block};
}

void Allocator::free(Block* block) {
  State& s = *state_;
  const std::lock_guard lock(s.mutex);
  s.stats.current_bytes -= block->nbytes;
  s.system->forbid(block->data, block->nbytes);
  if (block->in_bin) {
    s.bin_of(*block).free.push_back(block);
  } else {
    s.give_back_large(block);
  }
}

AllocatorStats Allocator::stats() const {
  const std::lock_guard lock(state_->mutex);
  return state_->stats;
}

void Allocator::reset_peak() {
  const std::lock_guard lock(state_->mutex);
  state_->stats.peak_bytes = state_->stats.current_bytes;
}

void Allocator::release_unused() {
  const std::lock_guard lock(state_->mutex);
  state_->release_unused();
}

namespace {
thread_local Allocator* cuda_override = nullptr;
}

Allocator& allocator_of(Device device) {
  // Never destroyed: tensors with static lifetime may be freed after it would have been.
  static Allocator& host = *new Allocator(std::make_unique<HostSystem>());
  if (device.is_cpu()) return host;
  if constexpr (kCudaBuild) {
    if (cuda_override != nullptr) return *cuda_override;
    static Allocator& cuda = *new Allocator(cuda_system());
    return cuda;
  } else {
    unsupported_device("allocator", device);
  }
}

CudaAllocatorScope::CudaAllocatorScope(Allocator& allocator) : outer_(cuda_override) { cuda_override = &allocator; }
CudaAllocatorScope::~CudaAllocatorScope() { cuda_override = outer_; }

}  // namespace vigor
