#pragma once
// PTX's predefined, read-only registers.
#include <cstdint>
#include <optional>
#include <string_view>

namespace vigor::emulator {

enum class SpecialRegister : uint8_t {
  tid_x,
  tid_y,
  tid_z,
  ntid_x,
  ntid_y,
  ntid_z,
  ctaid_x,
  ctaid_y,
  ctaid_z,
  nctaid_x,
  nctaid_y,
  nctaid_z,
  laneid,
  warpid,
  nwarpid,
  smid,
  nsmid,
  gridid,
  lanemask_eq,
  lanemask_le,
  lanemask_lt,
  lanemask_ge,
  lanemask_gt,
  dynamic_smem_size,
  total_smem_size,
  // These change while a kernel runs: reading one is an instruction.
  clock,
  clock_hi,
  clock64,
  globaltimer,
  globaltimer_lo,
  globaltimer_hi,
};

constexpr bool changes(SpecialRegister which) { return which >= SpecialRegister::clock; }

// "%tid.x" and so on; nothing for other names.
std::optional<SpecialRegister> find_special_register(std::string_view name);

}  // namespace vigor::emulator
