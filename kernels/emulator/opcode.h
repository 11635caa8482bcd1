#pragma once
// An opcode as PTX writes it -> a row of the instruction table and what was taken off its name.
#include <optional>
#include <string>
#include <string_view>

#include "kernels/emulator/instruction_table.h"

namespace vigor::emulator {

struct Opcode {
  std::string name;  // what the row is called
  const OpRow* row = nullptr;
  std::optional<Space> space;  // empty: generic addresses
  bool is_volatile = false;
  bool signed_value = false;  // an ld of a signed type
  Combine combine = Combine::none;
  uint32_t environment = 0;
};

// `vector_parts` and `unpacks` tell the forms of mov apart: mov with a vector on either side. Empty if there is no such
// row.
std::optional<Opcode> find_opcode(std::string_view text, uint32_t vector_parts, bool unpacks);

}  // namespace vigor::emulator
