#pragma once
// The barriers of a block.
#include <cstdint>

#include "kernels/emulator/warp.h"

namespace vigor::emulator {

// `lanes`, all of the warp that live, come to barrier `id`, which opens when `threads` have come (0: all of the block
// that live). `votes`: for bar.red, the lanes whose predicate is true. With `wait` the warp stays until it opens.
void arrive(Warp& warp, const Instruction& instruction, uint32_t id, uint32_t threads, uint32_t lanes, uint32_t votes,
            bool wait);

// After threads have exited: opens barriers that waited only for them.
void open_barriers(Block& block);

// No warp of the block can go on: throws a Fault that says who waits where.
[[noreturn]] void fail_deadlock(Block& block);

}  // namespace vigor::emulator
