#include "models/tokenizer/unicode.h"

#include <unicode/bytestream.h>
#include <unicode/normalizer2.h>
#include <unicode/uchar.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <stdexcept>

namespace vigor {
namespace {

constexpr char32_t kReplacement = 0xFFFD;
constexpr char32_t kCapitalSigma = 0x3A3, kSmallSigma = 0x3C3, kFinalSigma = 0x3C2;
constexpr char32_t kCapitalDottedI = 0x130, kCombiningDotAbove = 0x307;

// What may follow a lead byte: how many bytes, and the range of the first of them. The range of the second byte is what
// keeps out overlong forms (E0, F0), surrogates (ED) and values above U+10FFFF (F4).
struct Sequence {
  int extra_bytes;  // -1: not a lead byte
  uint8_t low, high;
};

Sequence sequence_of(uint8_t lead) {
  if (lead < 0x80) return {0, 0, 0};
  if (lead < 0xC2) return {-1, 0, 0};
  if (lead < 0xE0) return {1, 0x80, 0xBF};
  if (lead < 0xF0)
    return {2, static_cast<uint8_t>(lead == 0xE0 ? 0xA0 : 0x80), static_cast<uint8_t>(lead == 0xED ? 0x9F : 0xBF)};
  if (lead < 0xF5)
    return {3, static_cast<uint8_t>(lead == 0xF0 ? 0x90 : 0x80), static_cast<uint8_t>(lead == 0xF4 ? 0x8F : 0xBF)};
  return {-1, 0, 0};
}

// Reads one code point at `position`, which must lie inside `text`, and moves past it.
char32_t next_code_point(std::string_view text, size_t& position) {
  const uint8_t lead = static_cast<uint8_t>(text[position++]);
  if (lead < 0x80) return lead;
  Sequence sequence = sequence_of(lead);
  if (sequence.extra_bytes < 0) return kReplacement;
  char32_t point = lead & (0x3F >> sequence.extra_bytes);
  for (int i = 0; i < sequence.extra_bytes; ++i) {
    if (position == text.size()) return kReplacement;
    const uint8_t byte = static_cast<uint8_t>(text[position]);
    if (byte < sequence.low || byte > sequence.high) return kReplacement;
    point = (point << 6) | (byte & 0x3F);
    sequence.low = 0x80;
    sequence.high = 0xBF;
    ++position;
  }
  return point;
}

// Whether all bytes belong to well-formed sequences.
bool is_valid(std::string_view text) {
  for (size_t position = 0; position < text.size();) {
    uint64_t eight = 0;
    for (; position + 8 <= text.size(); position += 8) {  // ASCII, eight bytes at a time
      std::memcpy(&eight, text.data() + position, 8);
      if ((eight & 0x8080808080808080u) != 0) break;
    }
    if (position == text.size()) return true;
    const size_t begin = position;
    // An encoded U+FFFD is valid and has three bytes; a replacement for less is not.
    if (next_code_point(text, position) == kReplacement && text.substr(begin, position - begin) != "\xEF\xBF\xBD")
      return false;
  }
  return true;
}

bool is_ascii(std::string_view text) {
  uint8_t any = 0;
  for (const char c : text) any |= static_cast<uint8_t>(c);
  return any < 0x80;
}

constexpr char32_t ascii_lower(uint8_t c) { return c + (static_cast<uint8_t>(c - 'A') < 26 ? 32 : 0); }

bool cased(char32_t point) { return u_hasBinaryProperty(static_cast<UChar32>(point), UCHAR_CASED); }
bool case_ignorable(char32_t point) { return u_hasBinaryProperty(static_cast<UChar32>(point), UCHAR_CASE_IGNORABLE); }

// The Final_Sigma condition of the Unicode standard (table 3-17), on the text before lower-casing.
bool is_final_sigma(const std::u32string& points, size_t position) {
  size_t before = position;
  while (before > 0 && case_ignorable(points[before - 1])) --before;
  if (before == 0 || !cased(points[before - 1])) return false;
  size_t after = position + 1;
  while (after < points.size() && case_ignorable(points[after])) ++after;
  return after == points.size() || !cased(points[after]);
}

}  // namespace

std::u32string decode_utf8(std::string_view text) {
  std::u32string points;
  points.reserve(text.size());
  for (size_t position = 0; position < text.size();) points.push_back(next_code_point(text, position));
  return points;
}

void append_utf8(char32_t point, std::string& text) {
  const auto put = [&text](char32_t byte) { text.push_back(static_cast<char>(byte)); };
  if (point < 0x80) {
    put(point);
  } else if (point < 0x800) {
    put(0xC0 | (point >> 6));
    put(0x80 | (point & 0x3F));
  } else if (point < 0x10000) {
    put(0xE0 | (point >> 12));
    put(0x80 | ((point >> 6) & 0x3F));
    put(0x80 | (point & 0x3F));
  } else {
    put(0xF0 | (point >> 18));
    put(0x80 | ((point >> 12) & 0x3F));
    put(0x80 | ((point >> 6) & 0x3F));
    put(0x80 | (point & 0x3F));
  }
}

std::string valid_utf8(std::string_view text) {
  std::string valid;
  valid.reserve(text.size());
  for (size_t position = 0; position < text.size();) append_utf8(next_code_point(text, position), valid);
  return valid;
}

std::string_view valid_utf8(std::string_view text, std::string& buffer) {
  if (is_valid(text)) return text;
  return buffer = valid_utf8(text);
}

std::string_view normal_form_c(std::string_view text, std::string& buffer) {
  if (is_ascii(text)) return text;
  if (text.size() > INT32_MAX) throw std::runtime_error("normal form C: a text has at most 2 GB");
  UErrorCode status = U_ZERO_ERROR;
  const icu::Normalizer2* form = icu::Normalizer2::getNFCInstance(status);
  const icu::StringPiece piece(text.data(), static_cast<int32_t>(text.size()));
  if (U_SUCCESS(status) && form->isNormalizedUTF8(piece, status)) return text;
  buffer.clear();
  icu::StringByteSink<std::string> sink(&buffer);
  if (U_SUCCESS(status)) form->normalizeUTF8(0, piece, sink, nullptr, status);
  if (U_FAILURE(status)) throw std::runtime_error(std::string("normal form C: ") + u_errorName(status));
  return buffer;
}

std::u32string lower_case(std::string_view text) {
  if (is_ascii(text)) {  // nearly all English documents: one vectorised pass
    std::u32string points(text.size(), U'\0');
    std::transform(text.begin(), text.end(), points.begin(),
                   [](char c) { return ascii_lower(static_cast<uint8_t>(c)); });
    return points;
  }
  const std::u32string points = decode_utf8(text);
  std::u32string lower;
  lower.reserve(points.size());
  for (size_t i = 0; i < points.size(); ++i) {
    const char32_t point = points[i];
    if (point < 0x80) {
      lower.push_back(ascii_lower(static_cast<uint8_t>(point)));
    } else if (point == kCapitalSigma) {
      lower.push_back(is_final_sigma(points, i) ? kFinalSigma : kSmallSigma);
    } else if (point == kCapitalDottedI) {
      lower.append({U'i', kCombiningDotAbove});
    } else {
      lower.push_back(static_cast<char32_t>(u_tolower(static_cast<UChar32>(point))));
    }
  }
  return lower;
}

size_t unfinished_utf8(std::string_view text) {
  for (size_t length = 1; length <= std::min<size_t>(3, text.size()); ++length) {
    const uint8_t byte = static_cast<uint8_t>(text[text.size() - length]);
    if ((byte & 0xC0) == 0x80) continue;  // a continuation byte: its lead is further left
    return sequence_of(byte).extra_bytes >= static_cast<int>(length) ? length : 0;
  }
  return 0;
}

}  // namespace vigor
