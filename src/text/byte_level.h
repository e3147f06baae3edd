// GPT-2's way of writing arbitrary bytes as printable characters, and its split into words.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "text/regex.h"

namespace nibble {

// The character that stands for a byte, and back (-1 for a character that stands for none).
char32_t char_of_byte(unsigned char b);
int byte_of_char(char32_t c);
std::string spell_bytes(std::string_view bytes);

// GPT-2's pattern; the same matches as the regular expression kGpt2Pattern, by hand. Appends the
// words of text[within.begin, within.end), which cover it.
inline constexpr std::string_view kGpt2Pattern =
    R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";
void split_gpt2(std::string_view text, Match within, std::vector<Match>& out);

}  // namespace nibble
