#include "text/python_text.h"

#include "text/utf8.h"

namespace nibble {
namespace {

bool continues(char byte) { return (static_cast<unsigned char>(byte) & 0xC0) == 0x80; }

}  // namespace

bool is_python_space(char32_t c) { return is_space(c) || (c >= 0x1C && c <= 0x1F); }

std::string_view python_rstrip(std::string_view text) {
  while (!text.empty()) {
    size_t at = text.size() - 1;
    while (at > 0 && continues(text[at])) --at;
    if (!is_python_space(char_at(text.data() + at))) break;
    text = text.substr(0, at);
  }
  return text;
}

std::string_view python_lstrip(std::string_view text) {
  while (!text.empty() && is_python_space(char_at(text.data())))
    text.remove_prefix(char_length(static_cast<unsigned char>(text[0])));
  return text;
}

std::string_view python_strip(std::string_view text) { return python_lstrip(python_rstrip(text)); }

std::vector<std::string_view> python_split(std::string_view text) {
  std::vector<std::string_view> out;
  size_t begin = 0;
  for (size_t i = 0; i <= text.size();) {
    bool end = i == text.size();
    if (end || is_python_space(char_at(text.data() + i))) {
      if (i > begin) out.push_back(text.substr(begin, i - begin));
      if (end) break;
      begin = i + char_length(static_cast<unsigned char>(text[i]));
    }
    i += char_length(static_cast<unsigned char>(text[i]));
  }
  return out;
}

std::vector<std::u32string> python_split(std::u32string_view text) {
  std::vector<std::u32string> out;
  bool inside = false;
  for (char32_t c : text) {
    bool space = is_python_space(c);
    if (!space && !inside) out.emplace_back();
    if (!space) out.back() += c;
    inside = !space;
  }
  return out;
}

std::u32string code_points(std::string_view text) {
  std::u32string out;
  for (size_t i = 0; i < text.size(); i += char_length(static_cast<unsigned char>(text[i])))
    out += char_at(text.data() + i);
  return out;
}

}  // namespace nibble
