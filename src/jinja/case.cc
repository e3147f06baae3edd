#include <utf8proc.h>

#include "jinja/builtins.h"
#include "text/utf8.h"

namespace nibble::jinja {
namespace {

std::string mapped(std::string_view text, utf8proc_int32_t (*map)(utf8proc_int32_t), bool upper) {
  std::string out;
  for (size_t at = 0; at < text.size(); at += char_length(static_cast<unsigned char>(text[at]))) {
    char32_t c = char_at(text.data() + at);
    if (upper && c == U'\u00DF')
      out += "SS";
    else
      append_char(out, static_cast<char32_t>(map(static_cast<utf8proc_int32_t>(c))));
  }
  return out;
}

}  // namespace

std::string upper_text(std::string_view text) { return mapped(text, utf8proc_toupper, true); }
std::string lower_text(std::string_view text) { return mapped(text, utf8proc_tolower, false); }

bool is_printable(char32_t c) {
  if (c == U' ') return true;
  switch (utf8proc_category(static_cast<utf8proc_int32_t>(c))) {
    case UTF8PROC_CATEGORY_CN:
    case UTF8PROC_CATEGORY_CC:
    case UTF8PROC_CATEGORY_CF:
    case UTF8PROC_CATEGORY_CS:
    case UTF8PROC_CATEGORY_CO:
    case UTF8PROC_CATEGORY_ZS:
    case UTF8PROC_CATEGORY_ZL:
    case UTF8PROC_CATEGORY_ZP:
      return false;
    default:
      return true;
  }
}

}  // namespace nibble::jinja
