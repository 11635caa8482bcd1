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

void ShadowMemory::split(ShadowPage& page, uint32_t shift, ShadowArena& arena) {
  const uint64_t count = ShadowPage::kBytes >> shift;
  for (Stamp** array : {&page.write, &page.read, &page.other_read}) {
    if (!*array) continue;
    Stamp* cells = arena.take(count);
    for (uint64_t i = 0; i < count; ++i) cells[i] = (*array)[i >> (page.shift - shift)];
    *array = cells;
  }
  page.shift = shift;
}

}  // namespace vigor::emulator
