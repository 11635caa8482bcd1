#include "kernels/emulator/shadow.h"

#include <algorithm>

namespace vigor::emulator {

uint64_t* ShadowArena::take(uint64_t words) {
  if (chunks_.empty() || used_ + words > kChunkWords) {
    if (!chunks_.empty()) ++chunk_;
    if (chunk_ == chunks_.size()) chunks_.push_back(std::make_unique_for_overwrite<uint64_t[]>(kChunkWords));
    used_ = 0;
  }
  uint64_t* taken = chunks_[chunk_].get() + used_;
  used_ += words;
  std::fill_n(taken, words, 0);
  return taken;
}

void ShadowArena::reset() { chunk_ = used_ = 0; }

void ShadowMemory::split(Page& page, uint32_t shift, ShadowArena& arena) {
  const uint64_t count = kPageBytes >> shift;
  Stamp* cells = arena.take(3 * count);
  for (uint64_t i = 0; i < 3 * count; ++i) cells[i] = page.cells[i >> (page.shift - shift)];
  page.cells = cells;
  page.shift = shift;
}

}  // namespace vigor::emulator
