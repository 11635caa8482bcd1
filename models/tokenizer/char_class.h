#pragma once
// Character classes as the regular expressions of published tokenizers mean them, one table look-up each, and the
// decoding of UTF-8 that is known to be valid.
#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace vigor {

namespace char_class {
inline constexpr uint8_t kLetter = 1;        // \p{L}
inline constexpr uint8_t kMark = 2;          // \p{M}
inline constexpr uint8_t kNumber = 4;        // \p{N}
inline constexpr uint8_t kSpace = 8;         // \s: White_Space
inline constexpr uint8_t kNewline = 16;      // [\r\n]
inline constexpr uint8_t kPunctuation = 32;  // ASCII punctuation and symbols, and \p{P} of Unicode 8 (char_class.cpp)
inline constexpr uint8_t kWord = 64;         // \w
inline constexpr uint8_t kApostrophe = 128;  // U+0027, with which contractions begin
}  // namespace char_class

// One byte of classes for each code point, 1.1 MB, of which text in one script touches a few pages.
class CharClasses {
 public:
  static const CharClasses& get();  // made on first use, from the ICU library
  uint8_t operator[](char32_t point) const { return table_[point]; }

 private:
  CharClasses();
  std::vector<uint8_t> table_;
};

// Reads one code point of valid UTF-8 at `position`, which must lie inside `text`, and moves past it.
inline char32_t next_point(std::string_view text, size_t& position) {
  const auto byte = [&] { return static_cast<uint8_t>(text[position++]); };
  const char32_t lead = byte();
  if (lead < 0x80) return lead;
  char32_t point = lead < 0xE0 ? lead & 0x1F : lead < 0xF0 ? lead & 0x0F : lead & 0x07;
  for (int extra = lead < 0xE0 ? 1 : lead < 0xF0 ? 2 : 3; extra > 0; --extra) point = (point << 6) | (byte() & 0x3F);
  return point;
}

// The byte alphabet of GPT-2: a printable code point for each byte, so that any bytes can be written as text. Printable
// Latin-1 characters stand for themselves, the other 68 bytes for U+0100 and on, in order.
class ByteAlphabet {
 public:
  static const ByteAlphabet& get();
  char32_t point(uint8_t byte) const { return points_[byte]; }
  int byte(char32_t point) const { return point < bytes_.size() ? bytes_[point] : -1; }  // -1: not of the alphabet

 private:
  ByteAlphabet();
  std::array<char32_t, 256> points_;
  std::array<int16_t, 0x144> bytes_;
};

std::string to_byte_alphabet(std::string_view bytes);
// The bytes that `text` stands for; false, with `bytes` unchanged, when a character of it is not of the alphabet.
bool from_byte_alphabet(std::string_view text, std::string& bytes);

}  // namespace vigor
