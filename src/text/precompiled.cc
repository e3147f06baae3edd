// Reference: huggingface/spm_precompiled, src/lib.rs. It differs from SentencePiece: a grapheme of
// under 6 bytes that begins with a rule becomes what the shortest such rule says, whole.
#include "text/precompiled.h"

#include <utf8proc.h>

#include "text/charsmap.h"
#include "text/utf8.h"

namespace nibble {
namespace {

// RFC 4648 with padding. Nothing where the text is no such thing.
std::optional<std::string> decode_base64(std::string_view text) {
  static constexpr std::string_view kDigits =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  if (text.size() % 4 != 0) return std::nullopt;
  for (int i = 0; i < 2 && text.ends_with('='); ++i) text.remove_suffix(1);
  std::string out;
  uint32_t bits = 0;
  int held = 0;
  for (char c : text) {
    size_t digit = kDigits.find(c);
    if (digit == kDigits.npos) return std::nullopt;
    bits = bits << 6 | static_cast<uint32_t>(digit);
    held += 6;
    if (held < 8) continue;
    held -= 8;
    out += static_cast<char>(bits >> held & 0xFF);
  }
  return out;
}

// The end of the grapheme (UAX 29) that begins at `begin`.
size_t grapheme_end(std::string_view text, size_t begin) {
  size_t i = begin + char_length(static_cast<unsigned char>(text[begin]));
  auto last = static_cast<utf8proc_int32_t>(char_at(text.data() + begin));
  for (utf8proc_int32_t state = 0; i < text.size();) {
    auto c = static_cast<utf8proc_int32_t>(char_at(text.data() + i));
    if (utf8proc_grapheme_break_stateful(last, c, &state)) break;
    i += char_length(static_cast<unsigned char>(text[i]));
    last = c;
  }
  return i;
}

class Precompiled : public Normalizer {
 public:
  Status apply(std::string& text) const override {
    std::string out;
    out.reserve(text.size());
    constexpr size_t kLongestWhole = 5;
    for (size_t i = 0, end; i < text.size(); i = end) {
      end = grapheme_end(text, i);
      std::string_view grapheme(text.data() + i, end - i);
      if (grapheme.size() <= kLongestWhole && replace(grapheme, out)) continue;
      for (size_t k = 0, n; k < grapheme.size(); k += n) {
        n = char_length(static_cast<unsigned char>(grapheme[k]));
        if (!replace(grapheme.substr(k, n), out)) out += grapheme.substr(k, n);
      }
    }
    if (auto at = invalid_utf8(out))
      return fail("the tokenizer's precompiled_charsmap makes text that is not UTF-8");
    text.swap(out);
    return {};
  }

  Charsmap rules;

 private:
  bool replace(std::string_view part, std::string& out) const {
    auto rule = rules.shortest(part);
    if (rule) out += rule->becomes;
    return rule.has_value();
  }
};

}  // namespace

Result<std::unique_ptr<Normalizer>> make_precompiled(const Json& j, const std::string& what) {
  auto n = std::make_unique<Precompiled>();
  auto blob = decode_base64(NB_TRY(get_string(j, "precompiled_charsmap", std::nullopt, what)));
  if (!blob) return fail("{}: precompiled_charsmap is not base64", what);
  NB_OK(n->rules.read(*blob, what));
  return n;
}

}  // namespace nibble
