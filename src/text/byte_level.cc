#include "text/byte_level.h"

#include <array>

#include "text/utf8.h"

namespace nibble {
namespace {

struct ByteTable {
  std::array<char32_t, 256> chars{};
  std::array<int16_t, 512> bytes{};  // of characters below 512, -1 for none
};

// Printable Latin-1 stands for itself, the other 68 bytes take the characters from U+0100 on
// (openai/gpt-2: src/encoder.py, bytes_to_unicode).
constexpr ByteTable make_table() {
  ByteTable t;
  t.bytes.fill(-1);
  char32_t next = 256;
  for (int b = 0; b < 256; ++b) {
    bool printable = (b >= '!' && b <= '~') || (b >= 0xA1 && b <= 0xAC) || b >= 0xAE;
    t.chars[b] = printable ? static_cast<char32_t>(b) : next++;
    t.bytes[t.chars[b]] = static_cast<int16_t>(b);
  }
  return t;
}
constexpr ByteTable kTable = make_table();

// Length of the contraction ('s 't 're 've 'm 'll 'd) that the text starts with, or 0.
size_t contraction(std::string_view text) {
  if (text.size() < 2 || text[0] != '\'') return 0;
  char a = text[1];
  if (a == 's' || a == 't' || a == 'm' || a == 'd') return 2;
  if (text.size() < 3) return 0;
  char b = text[2];
  return ((a == 'r' || a == 'v') && b == 'e') || (a == 'l' && b == 'l') ? 3 : 0;
}

// End of the run of characters of one kind that starts at i.
size_t run_end(std::string_view text, size_t i, CharKind kind) {
  while (i < text.size() && char_kind(char_at(text.data() + i)) == kind)
    i += char_length(static_cast<unsigned char>(text[i]));
  return i;
}

size_t char_before(std::string_view text, size_t end) {
  do --end;
  while ((static_cast<unsigned char>(text[end]) & 0xC0) == 0x80);
  return end;
}

}  // namespace

char32_t char_of_byte(unsigned char b) { return kTable.chars[b]; }

int byte_of_char(char32_t c) { return c < kTable.bytes.size() ? kTable.bytes[c] : -1; }

std::string spell_bytes(std::string_view bytes) {
  std::string out;
  out.reserve(bytes.size() * 2);
  for (unsigned char b : bytes) append_char(out, kTable.chars[b]);
  return out;
}

void split_gpt2(std::string_view text, Match within, std::vector<Match>& out) {
  text = text.substr(0, within.end);
  for (size_t i = within.begin, end; i < text.size(); i = end) {
    if (size_t n = contraction(text.substr(i))) {
      end = i + n;
      out.push_back({i, end});
      continue;
    }
    size_t word = text[i] == ' ' && i + 1 < text.size() ? i + 1 : i;
    CharKind kind = char_kind(char_at(text.data() + word));
    if (kind != CharKind::kSpace) {
      end = run_end(text, word, kind);
    } else {
      // \s+(?!\S): the last space before a word is left for that word, if it is not the only one.
      end = run_end(text, i, kind);
      if (end < text.size())
        if (size_t before = char_before(text, end); before > i) end = before;
    }
    out.push_back({i, end});
  }
}

}  // namespace nibble
