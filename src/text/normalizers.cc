// Reference: huggingface/tokenizers, tokenizers/src/normalizers.
#include "text/normalizers.h"

#include <utf8proc.h>

#include "text/utf8.h"

namespace nibble {
namespace {

using Made = Result<std::unique_ptr<Normalizer>>;

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
    std::string out;
    out.reserve(text.size());
    for (size_t i = 0; i < text.size(); i += char_length(static_cast<unsigned char>(text[i]))) {
      char32_t c = char_at(text.data() + i);
      // The one character whose lower case is two (Unicode SpecialCasing.txt).
      if (c == 0x130)
        out += "i\xCC\x87";
      else
        append_char(out, static_cast<char32_t>(utf8proc_tolower(static_cast<utf8proc_int32_t>(c))));
    }
    text.swap(out);
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

constexpr Kind<Normalizer> kKinds[] = {
    {"NFC", UnicodeNormalizer<UnicodeForm::kNfc>::make},
    {"NFD", UnicodeNormalizer<UnicodeForm::kNfd>::make},
    {"NFKC", UnicodeNormalizer<UnicodeForm::kNfkc>::make},
    {"NFKD", UnicodeNormalizer<UnicodeForm::kNfkd>::make},
    {"Prepend", Prepend::make},
    {"Replace", Replace::make},
    {"Lowercase", Lowercase::make},
    {"Strip", Strip::make},
};

}  // namespace

Result<std::vector<std::unique_ptr<Normalizer>>> make_normalizers(const Json& j,
                                                                  const std::string& what) {
  return make_parts<Normalizer>(j, "normalizers", "normalizer", kKinds, what);
}

}  // namespace nibble
