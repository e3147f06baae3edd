// NFC, NFD, NFKC and NFKD with utf8proc's tables.
#include <utf8proc.h>

#include <algorithm>
#include <tuple>

#include "text/normalizers.h"
#include "text/utf8.h"

namespace nibble {
namespace {

int combining_class(utf8proc_int32_t c) {
  return static_cast<int>(utf8proc_get_property(c)->combining_class);
}

// Canonical ordering: by combining class, those of one class as they came.
void sort_marks(std::vector<utf8proc_int32_t>::iterator first,
                std::vector<utf8proc_int32_t>::iterator last) {
  auto by_class = [](auto a, auto b) { return combining_class(a) < combining_class(b); };
  if (std::is_sorted(first, last, by_class)) return;
  std::vector<std::tuple<int, ptrdiff_t, utf8proc_int32_t>> marks;
  for (auto it = first; it != last; ++it) marks.emplace_back(combining_class(*it), it - first, *it);
  std::sort(marks.begin(), marks.end());
  for (const auto& mark : marks) *first++ = std::get<2>(mark);
}

// Appends the normal form of `text`. utf8proc's own ordering of combining marks takes quadratic
// time on a long run of them, so decomposition and ordering are done here.
void append_normal_form(UnicodeForm form, std::string_view text, std::string& out) {
  bool compat = form == UnicodeForm::kNfkc || form == UnicodeForm::kNfkd;
  bool compose = form == UnicodeForm::kNfc || form == UnicodeForm::kNfkc;
  auto options = static_cast<utf8proc_option_t>(UTF8PROC_DECOMPOSE | UTF8PROC_STABLE |
                                                (compat ? UTF8PROC_COMPAT : 0));
  std::vector<utf8proc_int32_t> chars;
  chars.reserve(text.size());
  for (size_t i = 0; i < text.size(); i += char_length(static_cast<unsigned char>(text[i]))) {
    utf8proc_int32_t parts[32];  // the longest decomposition has 18
    auto n = utf8proc_decompose_char(static_cast<utf8proc_int32_t>(char_at(text.data() + i)), parts,
                                     32, options, nullptr);
    if (n > 0 && n <= 32) chars.insert(chars.end(), parts, parts + n);
  }
  for (auto it = chars.begin(); it != chars.end();) {
    auto is_mark = [](utf8proc_int32_t c) { return combining_class(c) != 0; };
    auto first = std::find_if(it, chars.end(), is_mark);
    it = std::find_if_not(first, chars.end(), is_mark);
    sort_marks(first, it);
  }
  if (compose) {
    auto n = utf8proc_normalize_utf32(
        chars.data(), static_cast<utf8proc_ssize_t>(chars.size()),
        static_cast<utf8proc_option_t>(UTF8PROC_COMPOSE | UTF8PROC_STABLE));
    chars.resize(static_cast<size_t>(std::max<utf8proc_ssize_t>(n, 0)));
  }
  for (auto c : chars) append_char(out, static_cast<char32_t>(c));
}

bool ascii(char c) { return static_cast<unsigned char>(c) < 0x80; }

}  // namespace

// ASCII is the same in every form, and nothing composes across the place before an ASCII
// character: only stretches of other characters, each with the ASCII character before it, are work.
void normalize_unicode(UnicodeForm form, std::string& text) {
  auto first = std::find_if_not(text.begin(), text.end(), ascii);
  if (first == text.end()) return;
  std::string out;
  out.reserve(text.size() + 16);
  size_t copied = 0;
  for (size_t i = static_cast<size_t>(first - text.begin()); i < text.size();) {
    size_t begin = i > 0 ? i - 1 : 0;
    auto end = static_cast<size_t>(
        std::find_if(text.begin() + static_cast<ptrdiff_t>(i), text.end(), ascii) - text.begin());
    out.append(text, copied, begin - copied);
    append_normal_form(form, std::string_view(text).substr(begin, end - begin), out);
    copied = end;
    i = static_cast<size_t>(
        std::find_if_not(text.begin() + static_cast<ptrdiff_t>(end), text.end(), ascii) -
        text.begin());
  }
  out.append(text, copied);
  text.swap(out);
}

}  // namespace nibble
