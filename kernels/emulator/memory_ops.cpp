// Loads, stores and addresses.
#include "kernels/emulator/addresses.h"

namespace vigor::emulator::VIGOR_ISA {
namespace {

template <class T>
VIGOR_INLINE T read(const void* from) {
  T value;
  __builtin_memcpy(&value, from, sizeof(T));
  return value;
}

// ld: T is the element's type, which fills the register as PTX says (bytes and halves extended by their sign).
template <class T, uint32_t kCount>
void load(Warp& warp, const Instruction& instruction, uint32_t lanes) {
  Addresses at;
  constexpr uint32_t kBytes = sizeof(T) * kCount;
  for (; lanes != 0; lanes &= ~at.lanes) {
    locate(warp, instruction, instruction.operands[kCount], instruction.immediate, instruction.space, lanes, kBytes,
           AccessKind::read, at);
    for (uint32_t element = 0; element < kCount; ++element) {
      using S = Storage<T>;
      S* d = plane_of<T>(warp, instruction.operands[element]);
      if (at.contiguous) {
        const std::byte* from = at.pointer<std::byte>(0) + element * sizeof(T);
        if (kCount == 1 && sizeof(S) == sizeof(T)) {
          __builtin_memcpy(d, from, kBytes * kWarpSize);
        } else {
          for (uint32_t lane = 0; lane < kWarpSize; ++lane) d[lane] = static_cast<S>(read<T>(from + lane * kBytes));
        }
      } else if (at.lanes == kAllLanes) {
        for (uint32_t lane = 0; lane < kWarpSize; ++lane) {
          d[lane] = static_cast<S>(read<T>(at.pointer<std::byte>(lane) + element * sizeof(T)));
        }
      } else {
        for (uint32_t rest = at.lanes; rest != 0; rest &= rest - 1) {
          const auto lane = static_cast<uint32_t>(__builtin_ctz(rest));
          d[lane] = static_cast<S>(read<T>(at.pointer<std::byte>(lane) + element * sizeof(T)));
        }
      }
    }
  }
}

template <class T, uint32_t kCount>
void store(Warp& warp, const Instruction& instruction, uint32_t lanes) {
  Addresses at;
  constexpr uint32_t kBytes = sizeof(T) * kCount;
  for (; lanes != 0; lanes &= ~at.lanes) {
    locate(warp, instruction, instruction.operands[0], instruction.immediate, instruction.space, lanes, kBytes,
           AccessKind::write, at);
    const Storage<T>* s[kCount];
    for (uint32_t element = 0; element < kCount; ++element) {
      s[element] = plane_of<T>(warp, instruction.operands[1 + element]);
    }
    if (at.contiguous && kCount == 1 && sizeof(Storage<T>) == sizeof(T)) {
      __builtin_memcpy(at.pointer<std::byte>(0), s[0], kBytes * kWarpSize);
      continue;
    }
    for (uint32_t rest = at.lanes; rest != 0; rest &= rest - 1) {
      const auto lane = static_cast<uint32_t>(__builtin_ctz(rest));
      T values[kCount];
      for (uint32_t element = 0; element < kCount; ++element) values[element] = static_cast<T>(s[element][lane]);
      __builtin_memcpy(at.pointer<std::byte>(lane), values, kBytes);
    }
  }
}

// cp.async [shared], [global], size [, bytes that are read; the rest becomes zeros].
void copy_async(Warp& warp, const Instruction& instruction, uint32_t lanes) {
  const Operand* operands = instruction.operands;
  const uint32_t size = plane_of<uint32_t>(warp, operands[2])[0];
  const int64_t source_offset = static_cast<int32_t>(instruction.environment);
  alignas(16) std::byte data[kWarpSize][16] = {};
  Addresses from, to;
  const uint32_t* sizes = operands[3].present ? plane_of<uint32_t>(warp, operands[3]) : nullptr;
  uint32_t whole = lanes;
  if (sizes) {
    // What is not read needs no valid address.
    for (uint32_t byte = 0; byte < size; ++byte) {
      uint32_t parts = 0;
      for (uint32_t lane = 0; lane < kWarpSize; ++lane) {
        if (sizes[lane] < size) whole &= ~(1u << lane);
        if (sizes[lane] < size && byte < sizes[lane]) parts |= 1u << lane;
      }
      parts &= lanes;
      if (parts == 0) continue;
      locate(warp, instruction, operands[1], source_offset + byte, Space::global, parts, 1, AccessKind::async_read,
             from);
      for (; parts != 0; parts &= parts - 1) {
        const auto lane = static_cast<uint32_t>(__builtin_ctz(parts));
        data[lane][byte] = *from.pointer<std::byte>(lane);
      }
    }
  }
  if (whole != 0) {
    locate(warp, instruction, operands[1], source_offset, Space::global, whole, size, AccessKind::async_read, from);
    for (uint32_t rest = whole; rest != 0; rest &= rest - 1) {
      const auto lane = static_cast<uint32_t>(__builtin_ctz(rest));
      __builtin_memcpy(data[lane], from.pointer<std::byte>(lane), size);
    }
  }
  locate(warp, instruction, operands[0], instruction.immediate, Space::shared, lanes, size, AccessKind::async_issue,
         to);
  add_copy(warp, instruction, lanes, size, to.value, data);
}

// Generic addresses; see the windows in warp.h.
template <uint64_t kWindow>
constexpr auto kToGeneric = [](uint64_t a) { return a | kWindow; };
constexpr auto kFromGeneric = [](uint64_t a) { return a & ~kWindowMask; };
constexpr auto kSame = [](uint64_t a) { return a; };

template <uint64_t kWindow>
void is_space(Warp& warp, const Instruction& instruction, uint32_t lanes) {
  const uint64_t* a = plane_of<uint64_t>(warp, instruction.operands[1]);
  uint32_t result = 0;
  for (uint32_t lane = 0; lane < kWarpSize; ++lane) {
    const uint64_t window = a[lane] & kWindowMask;
    const bool special = window == kSharedWindow || window == kLocalWindow || window == kParameterWindow;
    result |= (kWindow == 0 ? !special : window == kWindow) ? 1u << lane : 0u;
  }
  set_mask(warp, instruction.operands[0], result, lanes);
}

constexpr OpRow kRows[] = {
    {"ld.b8", load<uint8_t, 1>, "dm"},
    {"ld.s8", load<int8_t, 1>, "dm"},
    {"ld.b16", load<uint16_t, 1>, "dm"},
    {"ld.s16", load<int16_t, 1>, "dm"},
    {"ld.b32", load<uint32_t, 1>, "dm"},
    {"ld.b64", load<uint64_t, 1>, "Dm"},
    {"ld.v2.b8", load<uint8_t, 2>, "ddm"},
    {"ld.v2.b16", load<uint16_t, 2>, "ddm"},
    {"ld.v2.b32", load<uint32_t, 2>, "ddm"},
    {"ld.v2.b64", load<uint64_t, 2>, "DDm"},
    {"ld.v4.b8", load<uint8_t, 4>, "ddddm"},
    {"ld.v4.b16", load<uint16_t, 4>, "ddddm"},
    {"ld.v4.b32", load<uint32_t, 4>, "ddddm"},
    {"ld.v2.s8", load<int8_t, 2>, "ddm"},
    {"ld.v2.s16", load<int16_t, 2>, "ddm"},
    {"ld.v4.s8", load<int8_t, 4>, "ddddm"},
    {"ld.v4.s16", load<int16_t, 4>, "ddddm"},
    {"st.b8", store<uint8_t, 1>, "ma"},
    {"st.b16", store<uint16_t, 1>, "ma"},
    {"st.b32", store<uint32_t, 1>, "ma"},
    {"st.b64", store<uint64_t, 1>, "mA"},
    {"st.v2.b8", store<uint8_t, 2>, "maa"},
    {"st.v2.b16", store<uint16_t, 2>, "maa"},
    {"st.v2.b32", store<uint32_t, 2>, "maa"},
    {"st.v2.b64", store<uint64_t, 2>, "mAA"},
    {"st.v4.b8", store<uint8_t, 4>, "maaaa"},
    {"st.v4.b16", store<uint16_t, 4>, "maaaa"},
    {"st.v4.b32", store<uint32_t, 4>, "maaaa"},

    {"cp.async", copy_async, "mmao"},
    op<kToGeneric<kSharedWindow>, uint64_t, uint64_t>("cvta.shared.u64"),
    op<kToGeneric<kLocalWindow>, uint64_t, uint64_t>("cvta.local.u64"),
    op<kToGeneric<kParameterWindow>, uint64_t, uint64_t>("cvta.param.u64"),
    op<kSame, uint64_t, uint64_t>("cvta.global.u64"),
    op<kSame, uint64_t, uint64_t>("cvta.const.u64"),
    op<kFromGeneric, uint64_t, uint64_t>("cvta.to.shared.u64"),
    op<kFromGeneric, uint64_t, uint64_t>("cvta.to.local.u64"),
    op<kFromGeneric, uint64_t, uint64_t>("cvta.to.param.u64"),
    op<kSame, uint64_t, uint64_t>("cvta.to.global.u64"),
    op<kSame, uint64_t, uint64_t>("cvta.to.const.u64"),
    {"isspacep.shared", is_space<kSharedWindow>, "pA"},
    {"isspacep.local", is_space<kLocalWindow>, "pA"},
    {"isspacep.param", is_space<kParameterWindow>, "pA"},
    {"isspacep.global", is_space<0>, "pA"},
};

}  // namespace

RowTable memory_rows() { return table_of(kRows); }

}  // namespace vigor::emulator::VIGOR_ISA
