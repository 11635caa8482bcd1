#pragma once
// Opcode -> handler: the language that the emulator executes, in rows.
//
// A row's name is the opcode as the PTX manual writes it, without what the translator takes off before it looks:
// cache hints, state spaces and memory orders of loads and stores, rounding modes and .ftz of rows that allow them.
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "kernels/emulator/instruction.h"

namespace vigor::emulator {

enum RowFlags : uint8_t {
  kPlain = 0,
  kRounds = 1,   // takes .rn .rz .rm .rp and .ftz (default .rn)
  kFlushes = 2,  // takes .ftz
  kNearest = 8,  // takes .rn, which is all there is
  kControl = 4,  // changes the program counter or may suspend the warp
};

struct OpRow {
  const char* name;
  Handler handler;
  // One letter an operand, vectors flattened: d destination, a source (capital: 64 bits), p destination predicate,
  // c source predicate, q optional destination predicate after '|', m memory address, n immediate integer, k the carry
  // flag (not written in PTX).
  const char* operands;
  uint8_t flags = kPlain;
};

// A table: plain pointers, so that the files compiled per instruction set use nothing of the C++ library.
struct RowTable {
  const OpRow* rows;
  size_t count;
};

template <size_t N>
constexpr RowTable table_of(const OpRow (&rows)[N]) {
  return {rows, N};
}

// The row of this name in the tables for this processor; null if there is none.
const OpRow* find_row(std::string_view name);
// Every row, for documentation and tests.
std::vector<const OpRow*> all_rows();
// "avx512", "avx2" or "portable".
std::string_view instruction_set();

// Runs instruction.inner under instruction.environment.
void run_in_environment(Warp& warp, const Instruction& instruction, uint32_t lanes);

// Rows that need no vector code: control.cpp, warp_level.cpp, async_copies.cpp, library_calls.cpp.
RowTable control_rows();
RowTable warp_level_rows();
RowTable async_rows();
RowTable special_rows();

// Those of the *_ops.cpp files, for each instruction set.
#define VIGOR_EMULATOR_TABLES(isa) \
  namespace isa {                  \
  RowTable integer_rows();         \
  RowTable logic_rows();           \
  RowTable float_rows();           \
  RowTable half_rows();            \
  RowTable compare_rows();         \
  RowTable convert_rows();         \
  RowTable memory_rows();          \
  RowTable atomic_rows();          \
  RowTable matrix_rows();          \
  }
VIGOR_EMULATOR_TABLES(portable)
#if defined(__x86_64__)
VIGOR_EMULATOR_TABLES(avx2)
VIGOR_EMULATOR_TABLES(avx512)
#endif
#undef VIGOR_EMULATOR_TABLES

}  // namespace vigor::emulator
