#pragma once
// A translated instruction, and a kernel's code made of them.
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "kernels/emulator/access.h"
#include "kernels/emulator/special_registers.h"

namespace vigor::emulator {

struct Warp;
struct Instruction;

constexpr uint32_t kWarpSize = 32;
constexpr uint32_t kAllLanes = 0xffffffffu;

// A register of a warp is a plane: its values in all 32 lanes, side by side. Values of up to 32 bits have planes of 32
// four-byte words (narrower ones use the low bits; the rest is unspecified), 64-bit values 32 eight-byte words; a
// predicate is one word with a bit a lane. An immediate is a plane of the constant bank with 32 equal values.
struct Operand {
  uint32_t offset = 0;   // bytes from the begin of the bank
  uint8_t bank = 0;      // 0: the warp's registers, 1: the kernel's constants
  uint8_t bytes = 4;     // of a value: 4 or 8; 0 for a predicate
  bool negated = false;  // predicates: !p
  bool present = true;   // false: an optional operand that was left out
};

// Executes the instruction for these lanes (not empty), a subset of the warp's active ones.
using Handler = void (*)(Warp& warp, const Instruction& instruction, uint32_t lanes);

enum class Combine : uint8_t { none, and_, or_, xor_ };  // setp: with a third predicate

struct Instruction {
  static constexpr uint32_t kNoGuard = UINT32_MAX;

  Handler run = nullptr;
  const Operand* operands = nullptr;  // destinations first, vectors flattened
  Handler inner = nullptr;            // what run_in_environment runs
  int64_t immediate = 0;              // address offset, branch target, or whatever the handler says
  uint32_t guard = kNoGuard;          // @p: offset of the predicate
  bool guard_negated = false;
  bool control = false;  // changes the program counter or may suspend the warp
  uint8_t operand_count = 0;
  Space space = Space::global;
  bool generic_address = false;  // space is found per address
  bool unchecked = false;        // call parameters: always in bounds, of no interest to the checker
  bool is_volatile = false;
  Combine combine = Combine::none;
  uint32_t environment = 0;  // see environment.h; cp.async: offset of the second address
};

// A lane's values that exist before the kernel's first instruction.
struct SpecialUse {
  SpecialRegister which;
  Operand plane;
};

// One kernel with the functions that it calls, callees first.
class KernelCode : public InstructionSources {
 public:
  std::string name;
  std::vector<Instruction> instructions;
  uint32_t entry = 0;  // index of the kernel's first instruction
  uint32_t register_bytes = 0;
  uint32_t register_count = 0;  // 32-bit ones a thread would need if each virtual register had its own
  uint32_t parameter_bytes = 0;
  uint32_t static_shared_bytes = 0;  // dynamic shared memory begins here
  uint32_t local_bytes = 0;          // per thread
  std::vector<SpecialUse> specials;
  std::vector<uint32_t> return_planes;
  std::vector<std::vector<uint32_t>> branch_tables;  // of brx.idx: instruction indices

  const std::byte* constants() const { return reinterpret_cast<const std::byte*>(constant_planes.get()); }
  SourceLocation source(uint32_t instruction) const override;
  const std::string& text(uint32_t instruction) const { return texts[instruction]; }

  // Filled by the translator.
  struct Place {
    uint32_t file = 0, line = 0, ptx_line = 0;  // file: index in `files`, 0 is "unknown"
    // Of inlined code: file and line of each caller, innermost first. Null: none.
    std::shared_ptr<const std::vector<std::pair<uint32_t, uint32_t>>> callers;
  };
  std::vector<Place> places;       // one an instruction
  std::vector<std::string> texts;  // opcodes as in the PTX
  std::vector<std::string> files;
  std::vector<Operand> operand_pool;
  std::unique_ptr<uint64_t[], void (*)(void*)> constant_planes{nullptr, nullptr};
};

}  // namespace vigor::emulator
