#include "kernels/emulator/opcode.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <vector>

#include "kernels/emulator/environment.h"

namespace vigor::emulator {
namespace {

using Parts = std::vector<std::string_view>;

Parts split(std::string_view text) {
  Parts parts;
  while (true) {
    const size_t dot = text.find('.');
    parts.push_back(text.substr(0, dot));
    if (dot == std::string_view::npos) return parts;
    text.remove_prefix(dot + 1);
  }
}

bool is_one_of(std::string_view part, std::initializer_list<std::string_view> names) {
  return std::find(names.begin(), names.end(), part) != names.end();
}

bool take(Parts& parts, std::string_view part) {
  const auto found = std::find(parts.begin() + 1, parts.end(), part);
  if (found == parts.end()) return false;
  parts.erase(found);
  return true;
}

std::string join(const Parts& parts) { return fmt::format("{}", fmt::join(parts, ".")); }

// Takes state space, memory order, scope and cache hints off a memory instruction.
void take_memory_modifiers(Parts& parts, Opcode& opcode) {
  static constexpr std::pair<std::string_view, Space> kSpaces[] = {
      {"global", Space::global},          {"shared", Space::shared},
      {"shared::cta", Space::shared},     {"local", Space::local},
      {"const", Space::constant},         {"param", Space::parameter},
      {"param::entry", Space::parameter}, {"param::func", Space::parameter}};
  std::erase_if(parts, [&](std::string_view part) {
    for (const auto& [name, space] : kSpaces) {
      if (part == name) {
        opcode.space = space;
        return true;
      }
    }
    if (is_one_of(part, {"volatile", "relaxed", "acquire", "release", "acq_rel", "mmio"})) {
      opcode.is_volatile = true;
      return true;
    }
    // Hints and scopes change no result here: there is one device, and its memory is never stale.
    return is_one_of(part, {"weak",
                            "cta",
                            "cluster",
                            "gpu",
                            "sys",
                            "ca",
                            "cg",
                            "cs",
                            "lu",
                            "cv",
                            "wb",
                            "wt",
                            "nc",
                            "noftz",
                            "L1::evict_normal",
                            "L1::evict_unchanged",
                            "L1::evict_first",
                            "L1::evict_last",
                            "L1::no_allocate",
                            "L2::64B",
                            "L2::128B",
                            "L2::256B",
                            "L2::evict_last",
                            "L2::evict_first"});
  });
}

// ld, st: the type's size is what matters, except for signed bytes and halves.
void simplify_data_type(Parts& parts, Opcode& opcode) {
  static constexpr std::pair<std::string_view, std::string_view> kTypes[] = {
      {"u8", "b8"},   {"u16", "b16"}, {"f16", "b16"}, {"bf16", "b16"}, {"u32", "b32"},
      {"s32", "b32"}, {"f32", "b32"}, {"u64", "b64"}, {"s64", "b64"},  {"f64", "b64"}};
  std::string_view& type = parts.back();
  opcode.signed_value = type.starts_with('s');
  for (const auto& [name, bits] : kTypes) {
    if (type == name) {
      type = bits;
      return;
    }
  }
  if (parts[0] == "st" && type.starts_with('s')) type = type == "s8" ? "b8" : "b16";
}

// Rewrites the parts to a row's name, as far as that does not depend on which rows there are.
void normalize(Parts& parts, Opcode& opcode, uint32_t vector_parts, bool unpacks) {
  const std::string_view op = parts[0];
  if (is_one_of(op, {"ld", "ldu", "st"})) {
    take_memory_modifiers(parts, opcode);
    simplify_data_type(parts, opcode);
    if (op == "ldu") parts[0] = "ld";
  } else if (is_one_of(op, {"atom", "red"})) {
    take_memory_modifiers(parts, opcode);
  } else if (op == "cp" && parts.size() > 2 && parts[1] == "async") {
    take_memory_modifiers(parts, opcode);
    opcode.space = Space::shared;
  } else if (is_one_of(op, {"ldmatrix", "wmma"})) {
    take_memory_modifiers(parts, opcode);
  } else if (op == "prefetch" || op == "prefetchu") {
    parts.resize(1);
  } else if (op == "membar" || op == "fence") {
    parts.assign({"fence"});
  } else if (op == "bar" || op == "barrier") {
    if (parts[1] == "cta") parts.erase(parts.begin() + 1);
    if (take(parts, "warp")) {
      parts.assign({"bar", "warp", "sync"});
    } else {
      parts[0] = "bar";
      take(parts, "aligned");
    }
  } else if (is_one_of(op, {"setp", "set"})) {
    if (parts.size() > 3) {
      if (take(parts, "and")) opcode.combine = Combine::and_;
      if (take(parts, "or")) opcode.combine = Combine::or_;
      if (take(parts, "xor")) opcode.combine = Combine::xor_;
    }
  } else if (op == "mov" && vector_parts != 0) {
    static constexpr std::string_view kForms[2][2] = {{"pack2", "pack4"}, {"unpack2", "unpack4"}};
    parts[0] = kForms[unpacks][vector_parts == 4];
    if (parts[1].size() == 3) parts[1] = parts[1] == "b16" ? "b16" : (parts[1].ends_with("32") ? "b32" : "b64");
  } else if (is_one_of(op, {"bra", "ret", "exit", "brx"})) {
    take(parts, "uni");
  } else if (is_one_of(op, {"add", "addc", "sub", "subc", "mad", "madc"}) &&
             (op.ends_with('c') || std::find(parts.begin(), parts.end(), "cc") != parts.end())) {
    // Carries do not depend on signs.
    std::string_view& type = parts.back();
    if (type == "s32" || type == "b32") type = "u32";
    if (type == "s64" || type == "b64") type = "u64";
  }
}

}  // namespace

std::optional<Opcode> find_opcode(std::string_view text, uint32_t vector_parts, bool unpacks) {
  Opcode opcode;
  Parts parts = split(text);
  normalize(parts, opcode, vector_parts, unpacks);
  const auto found = [&](uint8_t needed_flags) {
    opcode.name = join(parts);
    opcode.row = find_row(opcode.name);
    return opcode.row && (needed_flags == 0 || (opcode.row->flags & needed_flags) != 0);
  };
  if (found(0)) return opcode;
  // .ftz, then the rounding mode, are the floating-point environment of rows that allow them.
  const bool flush = take(parts, "ftz");
  if (flush) {
    opcode.environment = environment_of(RoundingMode::nearest, true);
    if (found(kRounds | kFlushes)) return opcode;
  }
  static constexpr std::pair<std::string_view, RoundingMode> kModes[] = {
      {"rn", RoundingMode::nearest}, {"rz", RoundingMode::zero}, {"rm", RoundingMode::down}, {"rp", RoundingMode::up}};
  for (const auto& [name, mode] : kModes) {
    if (!take(parts, name)) continue;
    opcode.environment = environment_of(mode, flush);
    if (found(mode == RoundingMode::nearest ? kRounds | kNearest : kRounds)) return opcode;
  }
  return std::nullopt;
}

}  // namespace vigor::emulator
