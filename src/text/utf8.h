// UTF-8 and the few Unicode properties that tokenizers ask about.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"

namespace nibble {

// Offset of the first byte that is not part of well-formed UTF-8; nothing where all of it is.
std::optional<size_t> invalid_utf8(std::string_view text);

// An error naming the first byte that is not UTF-8, or the size of a text too long to encode.
Status check_text(std::string_view text);

// Length of the well-formed character at the start of the bytes; 0 where there is none.
size_t valid_char(std::string_view bytes);

// Length of the character that starts with this byte of well-formed UTF-8.
inline size_t char_length(unsigned char lead) {
  return lead < 0x80 ? 1 : lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;
}

// The code point at the start of well-formed, non-empty UTF-8.
inline char32_t char_at(const char* p) {
  auto b = [p](int i) { return static_cast<unsigned char>(p[i]); };
  if (b(0) < 0x80) return b(0);
  if (b(0) < 0xE0) return (b(0) & 0x1Fu) << 6 | (b(1) & 0x3Fu);
  if (b(0) < 0xF0) return (b(0) & 0x0Fu) << 12 | (b(1) & 0x3Fu) << 6 | (b(2) & 0x3Fu);
  return (b(0) & 0x07u) << 18 | (b(1) & 0x3Fu) << 12 | (b(2) & 0x3Fu) << 6 | (b(3) & 0x3Fu);
}

void append_char(std::string& out, char32_t c);

// The bytes with every broken sequence replaced by U+FFFD, one for each maximal prefix of a
// character (Unicode 15, section 3.9; what Rust's from_utf8_lossy does).
std::string lossy_utf8(std::string_view bytes);

// What the rules of pre-tokenizers tell apart.
enum class CharKind : uint8_t { kLetter, kNumber, kSpace, kOther };
CharKind char_kind(char32_t c);  // \p{L}, \p{N}, White_Space, the rest
inline bool is_space(char32_t c) { return char_kind(c) == CharKind::kSpace; }
inline bool is_number(char32_t c) { return char_kind(c) == CharKind::kNumber; }
bool is_punctuation(char32_t c);  // ASCII punctuation and \p{P}
// The general categories P and S.
bool is_punctuation_mark(char32_t c);
bool is_symbol(char32_t c);
bool is_word_char(char32_t c);  // \w of Unicode regular expressions (UTS 18)

inline constexpr std::string_view kReplacement = "\xEF\xBF\xBD";  // U+FFFD
inline constexpr std::string_view kMetaspace = "\xE2\x96\x81";    // U+2581, stands for a space

}  // namespace nibble
