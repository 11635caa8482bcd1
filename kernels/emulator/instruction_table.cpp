#include "kernels/emulator/instruction_table.h"

#include <cstdlib>
#include <unordered_map>

namespace vigor::emulator {
namespace {

using TableFunction = RowTable (*)();

struct Isa {
  std::string_view name;
  std::vector<TableFunction> tables;
};

#define VIGOR_TABLES_OF(isa)                                                                                     \
  Isa {                                                                                                          \
#isa, {                                                                                                      \
      isa::integer_rows, isa::logic_rows, isa::float_rows, isa::half_rows, isa::compare_rows, isa::convert_rows, \
          isa::memory_rows, isa::atomic_rows, isa::matrix_rows                                                   \
    }                                                                                                            \
  }

Isa choose_isa() {
#if defined(__x86_64__)
  // VIGOR_SIMD as in the rest of Vigor: asks for less than the processor has.
  const char* variable = std::getenv("VIGOR_SIMD");
  const std::string_view wanted = variable ? variable : "avx512";
  const bool has_avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
                        __builtin_cpu_supports("f16c") && __builtin_cpu_supports("bmi2");
  const bool has_avx512 = has_avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                          __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
  if (wanted == "avx512" && has_avx512) return VIGOR_TABLES_OF(avx512);
  if (wanted != "portable" && has_avx2) return VIGOR_TABLES_OF(avx2);
#endif
  return VIGOR_TABLES_OF(portable);
}

struct Table {
  Isa isa = choose_isa();
  std::unordered_map<std::string_view, const OpRow*> rows;

  Table() {
    std::vector<TableFunction> tables = isa.tables;
    tables.insert(tables.end(), {control_rows, warp_level_rows, async_rows, special_rows});
    for (const TableFunction table : tables) {
      const RowTable all = table();
      for (size_t i = 0; i < all.count; ++i) rows.emplace(all.rows[i].name, &all.rows[i]);
    }
  }
};

const Table& table() {
  static const Table the_table;
  return the_table;
}

}  // namespace

const OpRow* find_row(std::string_view name) {
  const auto found = table().rows.find(name);
  return found == table().rows.end() ? nullptr : found->second;
}

std::vector<const OpRow*> all_rows() {
  std::vector<const OpRow*> rows;
  for (const auto& [name, row] : table().rows) rows.push_back(row);
  return rows;
}

std::string_view instruction_set() { return table().isa.name; }

}  // namespace vigor::emulator
