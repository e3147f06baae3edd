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

}  // namespace nibble::jinja
