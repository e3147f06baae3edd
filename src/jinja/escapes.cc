#include "jinja/escapes.h"

#include <charconv>

#include "text/utf8.h"

namespace nibble::jinja {
namespace {

// The value of the digits that begin `text`, at least `least` and at most `most`; they are taken.
Result<char32_t> digits(std::string_view& text, int base, size_t least, size_t most) {
  size_t count = 0;
  auto good = [&](char c) {
    return base == 8 ? c >= '0' && c <= '7'
                     : (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
  };
  while (count < most && count < text.size() && good(text[count])) ++count;
  if (count < least) return fail("truncated \\x, \\u or \\U escape");
  uint32_t value = 0;
  std::from_chars(text.data(), text.data() + count, value, base);
  text.remove_prefix(count);
  return value;
}

Result<char32_t> code_point(char kind, std::string_view& text) {
  if (kind == 'x') return digits(text, 16, 2, 2);
  char32_t c = kind == 'u' ? NB_TRY(digits(text, 16, 4, 4)) : NB_TRY(digits(text, 16, 8, 8));
  bool low_follows = c >= 0xD800 && c < 0xDC00 && kind == 'u' && text.starts_with("\\u");
  if (low_follows) {
    std::string_view after = text.substr(2);
    char32_t low = NB_TRY(digits(after, 16, 4, 4));
    if (low >= 0xDC00 && low < 0xE000) {
      text = after;
      return 0x10000 + ((c - 0xD800) << 10) + (low - 0xDC00);
    }
  }
  if (c > 0x10FFFF || (c >= 0xD800 && c < 0xE000)) return fail("an escape that is no character");
  return c;
}

}  // namespace

Result<std::string> decode_escapes(std::string_view text) {
  static constexpr std::string_view kNames = "\\'\"abfnrtv", kValues = "\\'\"\a\b\f\n\r\t\v";
  std::string out;
  while (!text.empty()) {
    char c = text[0];
    text.remove_prefix(1);
    if (c != '\\' || text.empty()) {
      out += c;
      continue;
    }
    char kind = text[0];
    if (size_t i = kNames.find(kind); i != kNames.npos) {
      text.remove_prefix(1);
      out += kValues[i];
    } else if (kind == '\n') {
      text.remove_prefix(1);
    } else if (kind >= '0' && kind <= '7') {
      append_char(out, NB_TRY(digits(text, 8, 1, 3)));
    } else if (kind == 'x' || kind == 'u' || kind == 'U') {
      text.remove_prefix(1);
      append_char(out, NB_TRY(code_point(kind, text)));
    } else if (kind == 'N') {
      return fail("escapes by name (\\N) are not known");
    } else {
      out += c;  // Python keeps a backslash that means nothing
    }
  }
  return out;
}

}  // namespace nibble::jinja
