#include "text/utf8.h"

#include <utf8proc.h>

#include <array>
#include <cstring>

namespace nibble {
namespace {

// Length of the well-formed character at p (n > 0 bytes are there), or 0. `seen` is the length of
// the longest prefix that could still have become one, at least 1. Unicode table 3-7.
size_t well_formed(const char* p, size_t n, size_t& seen) {
  auto b = [p](size_t i) { return static_cast<unsigned char>(p[i]); };
  seen = 1;
  if (b(0) < 0x80) return 1;
  if (b(0) < 0xC2 || b(0) > 0xF4) return 0;
  unsigned low = b(0) == 0xE0 ? 0xA0 : b(0) == 0xF0 ? 0x90 : 0x80;
  unsigned high = b(0) == 0xED ? 0x9F : b(0) == 0xF4 ? 0x8F : 0xBF;
  size_t length = char_length(b(0));
  for (; seen < length; ++seen) {
    if (seen >= n || b(seen) < low || b(seen) > high) return 0;
    low = 0x80;
    high = 0xBF;
  }
  return length;
}

size_t skip_ascii(std::string_view text, size_t i) {
  uint64_t word;
  while (i + 8 <= text.size()) {
    std::memcpy(&word, text.data() + i, 8);
    if (word & 0x8080808080808080u) break;
    i += 8;
  }
  while (i < text.size() && static_cast<unsigned char>(text[i]) < 0x80) ++i;
  return i;
}

constexpr std::array<CharKind, 128> ascii_kinds() {
  std::array<CharKind, 128> kinds{};
  for (int c = 0; c < 128; ++c) {
    bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
    kinds[c] = letter                            ? CharKind::kLetter
               : c >= '0' && c <= '9'            ? CharKind::kNumber
               : c == ' ' || (c >= 9 && c <= 13) ? CharKind::kSpace
                                                 : CharKind::kOther;
  }
  return kinds;
}
constexpr std::array<CharKind, 128> kAsciiKinds = ascii_kinds();

}  // namespace

std::optional<size_t> invalid_utf8(std::string_view text) {
  size_t i = 0, seen;
  while ((i = skip_ascii(text, i)) < text.size()) {
    size_t length = well_formed(text.data() + i, text.size() - i, seen);
    if (length == 0) return i;
    i += length;
  }
  return std::nullopt;
}

Status check_text(std::string_view text) {
  constexpr size_t kMax = size_t{1} << 28;
  if (text.size() > kMax)
    return fail("text of {} bytes is too long to encode at once; at most {}", text.size(), kMax);
  if (auto at = invalid_utf8(text)) return fail("text is not UTF-8 at byte {}", *at);
  return {};
}

size_t valid_char(std::string_view bytes) {
  size_t seen;
  return bytes.empty() ? 0 : well_formed(bytes.data(), bytes.size(), seen);
}

void append_char(std::string& out, char32_t c) {
  utf8proc_uint8_t bytes[4];
  auto n = utf8proc_encode_char(static_cast<utf8proc_int32_t>(c), bytes);
  out.append(reinterpret_cast<const char*>(bytes), static_cast<size_t>(n));
}

std::string lossy_utf8(std::string_view bytes) {
  std::string out;
  out.reserve(bytes.size());
  for (size_t i = 0, seen; i < bytes.size(); i += seen) {
    if (well_formed(bytes.data() + i, bytes.size() - i, seen)) {
      // `seen` has become the whole length, or stays 1 for ASCII.
      out += bytes.substr(i, seen);
    } else {
      out += kReplacement;
    }
  }
  return out;
}

CharKind char_kind(char32_t c) {
  if (c < 128) return kAsciiKinds[c];
  switch (utf8proc_category(static_cast<utf8proc_int32_t>(c))) {
    case UTF8PROC_CATEGORY_LU:
    case UTF8PROC_CATEGORY_LL:
    case UTF8PROC_CATEGORY_LT:
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_LO:
      return CharKind::kLetter;
    case UTF8PROC_CATEGORY_ND:
    case UTF8PROC_CATEGORY_NL:
    case UTF8PROC_CATEGORY_NO:
      return CharKind::kNumber;
    case UTF8PROC_CATEGORY_ZS:
    case UTF8PROC_CATEGORY_ZL:
    case UTF8PROC_CATEGORY_ZP:
      return CharKind::kSpace;
    default:
      return c == 0x85 ? CharKind::kSpace : CharKind::kOther;  // next line: White_Space, but Cc
  }
}

bool is_punctuation_mark(char32_t c) {
  auto category = utf8proc_category(static_cast<utf8proc_int32_t>(c));
  return category >= UTF8PROC_CATEGORY_PC && category <= UTF8PROC_CATEGORY_PO;
}

bool is_symbol(char32_t c) {
  auto category = utf8proc_category(static_cast<utf8proc_int32_t>(c));
  return category >= UTF8PROC_CATEGORY_SM && category <= UTF8PROC_CATEGORY_SO;
}

bool is_punctuation(char32_t c) {
  if (c < 128) return c > 32 && c < 127 && kAsciiKinds[c] == CharKind::kOther;
  return is_punctuation_mark(c);
}

bool is_word_char(char32_t c) {
  CharKind kind = char_kind(c);
  if (kind == CharKind::kLetter || c == 0x200C || c == 0x200D) return true;
  auto category = utf8proc_category(static_cast<utf8proc_int32_t>(c));
  // Circled and squared letters are Alphabetic though their category is So.
  bool enclosed = (c >= 0x24B6 && c <= 0x24E9) || (c >= 0x1F130 && c <= 0x1F149) ||
                  (c >= 0x1F150 && c <= 0x1F169) || (c >= 0x1F170 && c <= 0x1F189);
  return enclosed || category == UTF8PROC_CATEGORY_MN || category == UTF8PROC_CATEGORY_MC ||
         category == UTF8PROC_CATEGORY_ME || category == UTF8PROC_CATEGORY_ND ||
         category == UTF8PROC_CATEGORY_NL || category == UTF8PROC_CATEGORY_PC;
}

}  // namespace nibble
