// Reference: huggingface/tokenizers, tokenizers/src/normalizers.
#include "text/normalizers.h"

#include <utf8proc.h>

#include "text/byte_level.h"
#include "text/precompiled.h"
#include "text/utf8.h"

namespace nibble {
namespace {

using Made = Result<std::unique_ptr<Normalizer>>;

// Rewrites the text character by character: `write(c, out)` appends what each becomes.
template <class F>
void rewrite_chars(std::string& text, F&& write) {
  std::string out;
  out.reserve(text.size());
  for (size_t i = 0; i < text.size(); i += char_length(static_cast<unsigned char>(text[i])))
    write(char_at(text.data() + i), out);
  text.swap(out);
}

utf8proc_category_t category(char32_t c) {
  return utf8proc_category(static_cast<utf8proc_int32_t>(c));
}

bool is_nonspacing_mark(char32_t c) { return category(c) == UTF8PROC_CATEGORY_MN; }

void append_lower(char32_t c, std::string& out) {
  // The one character whose lower case is two (Unicode SpecialCasing.txt).
  if (c == 0x130)
    out += "i\xCC\x87";
  else
    append_char(out, static_cast<char32_t>(utf8proc_tolower(static_cast<utf8proc_int32_t>(c))));
}

template <UnicodeForm form>
class UnicodeNormalizer : public Normalizer {
 public:
  static Made make(const Json&, const std::string&) {
    return std::make_unique<UnicodeNormalizer>();
  }
  Status apply(std::string& text) const override {
    normalize_unicode(form, text);
    return {};
  }
};

class Prepend : public Normalizer {
 public:
  static Made make(const Json& j, const std::string& what) {
    auto n = std::make_unique<Prepend>();
    n->prefix_ = NB_TRY(get_string(j, "prepend", std::nullopt, what));
    return n;
  }
  Status apply(std::string& text) const override {
    if (!text.empty()) text.insert(0, prefix_);
    return {};
  }

 private:
  std::string prefix_;
};

class Replace : public Normalizer {
 public:
  static Made make(const Json& j, const std::string& what) {
    auto n = std::make_unique<Replace>();
    n->pattern_ = NB_TRY(Pattern::read(j, what));
    n->content_ = NB_TRY(get_string(j, "content", std::nullopt, what));
    return n;
  }
  Status apply(std::string& text) const override {
    NB_TRY(replace_all(pattern_, content_, text));
    return {};
  }

 private:
  Pattern pattern_;
  std::string content_;
};

class Lowercase : public Normalizer {
 public:
  static Made make(const Json&, const std::string&) { return std::make_unique<Lowercase>(); }
  Status apply(std::string& text) const override {
    rewrite_chars(text, append_lower);
    return {};
  }
};

class Strip : public Normalizer {
 public:
  static Made make(const Json& j, const std::string& what) {
    auto n = std::make_unique<Strip>();
    n->left_ = NB_TRY(get_bool(j, "strip_left", true, what));
    n->right_ = NB_TRY(get_bool(j, "strip_right", true, what));
    return n;
  }
  Status apply(std::string& text) const override {
    size_t first = text.size(), end = 0;  // of what is not white space
    for (size_t i = 0, n; i < text.size(); i += n) {
      n = char_length(static_cast<unsigned char>(text[i]));
      if (is_space(char_at(text.data() + i))) continue;
      first = std::min(first, i);
      end = i + n;
    }
    if (right_) text.resize(end);
    if (left_) text.erase(0, first);
    return {};
  }

 private:
  bool left_ = true, right_ = true;
};

// Drops every mark; what carries its accent inside must have been decomposed before.
class StripAccents : public Normalizer {
 public:
  static Made make(const Json&, const std::string&) { return std::make_unique<StripAccents>(); }
  Status apply(std::string& text) const override {
    rewrite_chars(text, [](char32_t c, std::string& out) {
      auto kind = category(c);
      bool mark = kind >= UTF8PROC_CATEGORY_MN && kind <= UTF8PROC_CATEGORY_ME;
      if (!mark) append_char(out, c);
    });
    return {};
  }
};

// What SentencePiece's nmt_* rules do to control characters and odd spaces.
class Nmt : public Normalizer {
 public:
  static Made make(const Json&, const std::string&) { return std::make_unique<Nmt>(); }
  Status apply(std::string& text) const override {
    rewrite_chars(text, [](char32_t c, std::string& out) {
      bool space = c == '\t' || c == '\n' || c == '\f' || c == '\r' || c == 0x1680 ||
                   (c >= 0x200B && c <= 0x200F) || c == 0x2028 || c == 0x2029 || c == 0x2581 ||
                   c == 0xFEFF || c == 0xFFFD;
      bool gone = (c > 0 && c < 0x20) || c == 0x7F || c == 0x8F || c == 0x9F;
      if (space)
        out += ' ';
      else if (!gone)
        append_char(out, c);
    });
    return {};
  }
};

// BERT's basic tokenizer, all but its splitting (google-research/bert: tokenization.py).
class BertNormalizer : public Normalizer {
 public:
  static Made make(const Json& j, const std::string& what) {
    auto n = std::make_unique<BertNormalizer>();
    n->clean_ = NB_TRY(get_bool(j, "clean_text", true, what));
    n->cjk_ = NB_TRY(get_bool(j, "handle_chinese_chars", true, what));
    n->lower_ = NB_TRY(get_bool(j, "lowercase", true, what));
    n->strip_accents_ = NB_TRY(get_bool(j, "strip_accents", n->lower_, what));
    return n;
  }
  Status apply(std::string& text) const override {
    if (clean_) rewrite_chars(text, append_clean);
    if (cjk_) rewrite_chars(text, append_spaced);
    if (strip_accents_) {
      normalize_unicode(UnicodeForm::kNfd, text);
      rewrite_chars(text, [](char32_t c, std::string& out) {
        if (!is_nonspacing_mark(c)) append_char(out, c);
      });
    }
    if (lower_) rewrite_chars(text, append_lower);
    return {};
  }

 private:
  // Control, format and private characters go, every white space becomes a space.
  static void append_clean(char32_t c, std::string& out) {
    auto kind = category(c);
    if (c == '\t' || c == '\n' || c == '\r')
      out += ' ';
    else if (c == 0xFFFD || kind == UTF8PROC_CATEGORY_CC || kind == UTF8PROC_CATEGORY_CF ||
             kind == UTF8PROC_CATEGORY_CO)
      return;
    else if (is_space(c))
      out += ' ';
    else
      append_char(out, c);
  }
  // Every ideograph is a word. The blocks are the reference's, 2B820-2B91F missing as there.
  static void append_spaced(char32_t c, std::string& out) {
    static constexpr char32_t kBlocks[][2] = {
        {0x3400, 0x4DBF},   {0x4E00, 0x9FFF},   {0xF900, 0xFAFF},  {0x20000, 0x2A6DF},
        {0x2A700, 0x2B81F}, {0x2B920, 0x2CEAF}, {0x2F800, 0x2FA1F}};
    bool ideograph = false;
    for (auto [first, last] : kBlocks) ideograph |= c >= first && c <= last;
    if (ideograph) out += ' ';
    append_char(out, c);
    if (ideograph) out += ' ';
  }

  bool clean_ = true, cjk_ = true, lower_ = true, strip_accents_ = true;
};

class ByteLevelNormalizer : public Normalizer {
 public:
  static Made make(const Json&, const std::string&) {
    return std::make_unique<ByteLevelNormalizer>();
  }
  Status apply(std::string& text) const override {
    text = spell_bytes(text);
    return {};
  }
};

constexpr Kind<Normalizer> kKinds[] = {
    {"NFC", UnicodeNormalizer<UnicodeForm::kNfc>::make},
    {"NFD", UnicodeNormalizer<UnicodeForm::kNfd>::make},
    {"NFKC", UnicodeNormalizer<UnicodeForm::kNfkc>::make},
    {"NFKD", UnicodeNormalizer<UnicodeForm::kNfkd>::make},
    {"Prepend", Prepend::make},
    {"Replace", Replace::make},
    {"Lowercase", Lowercase::make},
    {"Strip", Strip::make},
    {"StripAccents", StripAccents::make},
    {"Nmt", Nmt::make},
    {"BertNormalizer", BertNormalizer::make},
    {"ByteLevel", ByteLevelNormalizer::make},
    {"Precompiled", make_precompiled},
};

}  // namespace

Result<std::vector<std::unique_ptr<Normalizer>>> make_normalizers(const Json& j,
                                                                  const std::string& what) {
  return make_parts<Normalizer>(j, "normalizers", "normalizer", kKinds, what);
}

}  // namespace nibble
