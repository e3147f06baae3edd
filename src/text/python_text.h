// White space as Python's str methods see it, which templates and other harnesses cut texts by.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace nibble {

// What str.isspace() says of one character: White_Space and the four separators U+001C to U+001F.
bool is_python_space(char32_t c);
// str.lstrip(), str.rstrip() and str.strip() of UTF-8 text.
std::string_view python_lstrip(std::string_view text);
std::string_view python_rstrip(std::string_view text);
std::string_view python_strip(std::string_view text);
// str.split(): the words between white space, none empty.
std::vector<std::string_view> python_split(std::string_view text);
std::vector<std::u32string> python_split(std::u32string_view text);
// The characters of UTF-8 text.
std::u32string code_points(std::string_view text);

}  // namespace nibble
