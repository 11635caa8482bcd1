#pragma once
// UTF-8 and lower case as Python has them, because the published vocabularies were made with Python.
#include <cstddef>
#include <string>
#include <string_view>

namespace vigor {

// Code points of `text`. Bytes that are not UTF-8 become U+FFFD exactly as in Python's
// bytes.decode("utf-8", errors="replace"): one for each longest prefix of a valid sequence, else one for each byte.
std::u32string decode_utf8(std::string_view text);

void append_utf8(char32_t point, std::string& text);

// `text` itself if it is valid UTF-8, else with replacements as above. The second form copies only in the latter case,
// into `buffer`.
std::string valid_utf8(std::string_view text);
std::string_view valid_utf8(std::string_view text, std::string& buffer);

// The text in Unicode's normal form C (composed characters); `text` must be valid UTF-8 and is copied, into `buffer`,
// only when it is not in that form.
std::string_view normal_form_c(std::string_view text, std::string& buffer);

// Code points of the lower-cased text, equal to Python's str.lower() over the whole string:
//   - U+03A3 (capital sigma) becomes final sigma where a cased letter stands before it and none follows, both with
//     case-ignorable characters (apostrophes, accents) skipped;
//   - U+0130 (capital I with dot) becomes two code points, i and U+0307;
//   - every other code point has its simple lower-case mapping, whatever the language (no Turkish or Lithuanian rules).
// The character properties are those of the ICU library; a Python of another Unicode version may know fewer characters.
std::u32string lower_case(std::string_view text);

// Bytes at the end of `text` that begin a UTF-8 sequence but do not finish it: 0 to 3. A stream holds these back.
size_t unfinished_utf8(std::string_view text);

}  // namespace vigor
