#pragma once
// The rare paths of memory accesses, out of line and once for all instruction sets (report.cpp).
#include "kernels/emulator/warp.h"

namespace vigor::emulator {

// Looks up the allocations behind device addresses, fills host pointers, and remembers the allocation for the next
// time if all lanes were in the same. Fault illegal_address.
void find_ranges(Warp& warp, const Instruction& instruction, uint32_t lanes, const uint64_t* addresses, uint32_t bytes,
                 bool writes, uint64_t* host);
[[noreturn]] void fail_alignment(Warp& warp, const Instruction& instruction, uint32_t lanes, const uint64_t* addresses,
                                 uint32_t bytes, Space space);
// Shared, local and parameter memory, whose size is `limit`.
[[noreturn]] void fail_bounds(Warp& warp, const Instruction& instruction, uint32_t lanes, const uint64_t* addresses,
                              uint32_t bytes, Space space, uint64_t limit);
void tell_checker(Warp& warp, const Instruction& instruction, uint32_t lanes, const uint64_t* addresses, uint32_t bytes,
                  Space space, AccessKind kind);

}  // namespace vigor::emulator
