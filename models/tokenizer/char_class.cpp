#include "models/tokenizer/char_class.h"

#include <unicode/uchar.h>

#include <algorithm>

#include "models/tokenizer/unicode.h"

namespace vigor {
namespace {

using namespace char_class;

// Letters, marks and digits of Unicode 15.1 and 16, for ICU libraries that do not know them yet: ids should not depend
// on the machine.
struct ClassRange {
  char32_t first, last;
  uint8_t classes;
};
constexpr ClassRange kUnicode16[] = {
    {0x1C89, 0x1C8A, kLetter},   {0xA7CB, 0xA7CD, kLetter},   {0xA7DA, 0xA7DC, kLetter},   {0x105C0, 0x105F3, kLetter},
    {0x10D4A, 0x10D65, kLetter}, {0x10D6F, 0x10D85, kLetter}, {0x10EC2, 0x10EC4, kLetter}, {0x11380, 0x11389, kLetter},
    {0x1138B, 0x1138B, kLetter}, {0x1138E, 0x1138E, kLetter}, {0x11390, 0x113B5, kLetter}, {0x113B7, 0x113B7, kLetter},
    {0x113D1, 0x113D1, kLetter}, {0x113D3, 0x113D3, kLetter}, {0x11BC0, 0x11BE0, kLetter}, {0x13460, 0x143FA, kLetter},
    {0x16100, 0x1611D, kLetter}, {0x16D40, 0x16D6C, kLetter}, {0x18CFF, 0x18CFF, kLetter}, {0x1E5D0, 0x1E5ED, kLetter},
    {0x1E5F0, 0x1E5F0, kLetter}, {0x2EBF0, 0x2EE5D, kLetter}, {0x897, 0x897, kMark},       {0x10D69, 0x10D6D, kMark},
    {0x10EFC, 0x10EFC, kMark},   {0x113B8, 0x113C0, kMark},   {0x113C2, 0x113C2, kMark},   {0x113C5, 0x113C5, kMark},
    {0x113C7, 0x113CA, kMark},   {0x113CC, 0x113D0, kMark},   {0x113D2, 0x113D2, kMark},   {0x113E1, 0x113E2, kMark},
    {0x11F5A, 0x11F5A, kMark},   {0x1611E, 0x1612F, kMark},   {0x1E5EE, 0x1E5EF, kMark},   {0x10D40, 0x10D49, kNumber},
    {0x116D0, 0x116E3, kNumber}, {0x11BF0, 0x11BF9, kNumber}, {0x16130, 0x16139, kNumber}, {0x16D70, 0x16D79, kNumber},
    {0x1CCF0, 0x1CCF9, kNumber}, {0x1E5F1, 0x1E5FA, kNumber}};

// The tokenizers whose ids we repeat take "punctuation" from a table of Unicode 8: characters that came later are none,
// and two that have become symbols since still are.
bool is_old_punctuation(UChar32 point) {
  if (point < 0x80) return point > 0x20 && point < 0x7F && !u_isalnum(point);
  if (point == 0x166D || point == 0x111C9) return true;
  if (!u_ispunct(point)) return false;
  UVersionInfo age;
  u_charAge(point, age);
  return age[0] <= 8;
}

UBool add_range(const void* context, UChar32 start, UChar32 limit, UCharCategory category) {
  uint8_t* table = static_cast<uint8_t*>(const_cast<void*>(context));
  const uint32_t mask = U_MASK(category);
  uint8_t classes = 0;
  if (mask & U_GC_L_MASK) classes |= kLetter;
  if (mask & U_GC_M_MASK) classes |= kMark | kWord;
  if (mask & U_GC_N_MASK) classes |= kNumber;
  if (mask & (U_GC_ND_MASK | U_GC_PC_MASK)) classes |= kWord;
  std::fill(table + start, table + limit, classes);
  if (mask & (U_GC_P_MASK | U_GC_S_MASK)) {
    for (UChar32 point = start; point < limit; ++point)
      if (is_old_punctuation(point)) table[point] |= kPunctuation;
  }
  return true;
}

}  // namespace

CharClasses::CharClasses() : table_(0x110000) {
  u_enumCharTypes(add_range, table_.data());
  for (const auto& [first, last, classes] : kUnicode16) {
    for (char32_t point = first; point <= last; ++point)
      if (u_charType(static_cast<UChar32>(point)) == U_UNASSIGNED) table_[point] = classes;
  }
  for (UChar32 point = 0; point <= 0x3000; ++point)  // the last white space of Unicode is U+3000
    if (u_isUWhiteSpace(point)) table_[point] |= kSpace;
  for (UChar32 point = 0; point < 0x110000; ++point)
    if (u_isUAlphabetic(point)) table_[point] |= kWord;
  table_[0x200C] |= kWord;  // the two joiners belong to words
  table_[0x200D] |= kWord;
  table_['\r'] |= kNewline;
  table_['\n'] |= kNewline;
  table_['\''] |= kApostrophe;
}

const CharClasses& CharClasses::get() {
  static const CharClasses classes;
  return classes;
}

ByteAlphabet::ByteAlphabet() {
  bytes_.fill(-1);
  char32_t next = 0x100;
  for (int byte = 0; byte < 256; ++byte) {
    const bool printable = (byte >= '!' && byte <= '~') || (byte >= 0xA1 && byte != 0xAD);
    points_[byte] = printable ? static_cast<char32_t>(byte) : next++;
    bytes_[points_[byte]] = static_cast<int16_t>(byte);
  }
}

const ByteAlphabet& ByteAlphabet::get() {
  static const ByteAlphabet alphabet;
  return alphabet;
}

std::string to_byte_alphabet(std::string_view bytes) {
  std::string text;
  for (const char byte : bytes) append_utf8(ByteAlphabet::get().point(static_cast<uint8_t>(byte)), text);
  return text;
}

bool from_byte_alphabet(std::string_view text, std::string& bytes) {
  std::string result;
  for (size_t position = 0; position < text.size();) {
    const int byte = ByteAlphabet::get().byte(next_point(text, position));
    if (byte < 0) return false;
    result.push_back(static_cast<char>(byte));
  }
  bytes = std::move(result);
  return true;
}

}  // namespace vigor
