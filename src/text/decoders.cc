// Reference: huggingface/tokenizers, tokenizers/src/decoders.
#include "text/decoders.h"

#include "text/byte_level.h"
#include "text/token_model.h"
#include "text/utf8.h"

namespace nibble {
namespace {

using Made = Result<std::unique_ptr<PieceDecoder>>;

std::string joined(const std::vector<std::string>& tokens) {
  std::string all;
  for (const auto& t : tokens) all += t;
  return all;
}

class ByteLevelDecoder : public PieceDecoder {
 public:
  static Made make(const Json&, const std::string&) { return std::make_unique<ByteLevelDecoder>(); }
  Status apply(std::vector<std::string>& tokens) const override {
    std::string bytes, one;
    for (const auto& token : tokens) bytes += to_bytes(token, one) ? one : token;
    tokens = {lossy_utf8(bytes)};
    return {};
  }

 private:
  // False where a character stands for no byte: then the token is plain text.
  static bool to_bytes(std::string_view token, std::string& out) {
    out.clear();
    for (size_t i = 0; i < token.size(); i += char_length(static_cast<unsigned char>(token[i]))) {
      int b = byte_of_char(char_at(token.data() + i));
      if (b < 0) return false;
      out += static_cast<char>(b);
    }
    return true;
  }
};

class ReplaceDecoder : public PieceDecoder {
 public:
  static Made make(const Json& j, const std::string& what) {
    auto d = std::make_unique<ReplaceDecoder>();
    d->pattern_ = NB_TRY(Pattern::read(j, what));
    d->content_ = NB_TRY(get_string(j, "content", std::nullopt, what));
    return d;
  }
  Status apply(std::vector<std::string>& tokens) const override {
    for (auto& token : tokens) NB_TRY(replace_all(pattern_, content_, token));
    return {};
  }

 private:
  Pattern pattern_;
  std::string content_;
};

// A run of "<0xE2>" tokens becomes text where its bytes are UTF-8, else one U+FFFD for each.
class ByteFallback : public PieceDecoder {
 public:
  static Made make(const Json&, const std::string&) { return std::make_unique<ByteFallback>(); }
  Status apply(std::vector<std::string>& tokens) const override {
    std::vector<std::string> out;
    std::string run;
    auto flush = [&] {
      if (invalid_utf8(run)) {
        for (size_t i = 0; i < run.size(); ++i) out.emplace_back(kReplacement);
      } else if (!run.empty()) {
        out.push_back(run);
      }
      run.clear();
    };
    for (auto& token : tokens) {
      int b = byte_of_piece(token);
      if (b >= 0) {
        run += static_cast<char>(b);
        continue;
      }
      flush();
      out.push_back(std::move(token));
    }
    flush();
    tokens.swap(out);
    return {};
  }
};

class Fuse : public PieceDecoder {
 public:
  static Made make(const Json&, const std::string&) { return std::make_unique<Fuse>(); }
  Status apply(std::vector<std::string>& tokens) const override {
    tokens = {joined(tokens)};
    return {};
  }
};

class StripDecoder : public PieceDecoder {
 public:
  static Made make(const Json& j, const std::string& what) {
    auto d = std::make_unique<StripDecoder>();
    append_char(d->content_, NB_TRY(get_char(j, "content", " ", what)));
    d->start_ = NB_TRY(get_int(j, "start", 0, what));
    d->stop_ = NB_TRY(get_int(j, "stop", 0, what));
    return d;
  }
  Status apply(std::vector<std::string>& tokens) const override {
    for (auto& token : tokens) {
      std::string_view rest = token;
      for (int64_t i = 0; i < start_ && rest.starts_with(content_); ++i)
        rest.remove_prefix(content_.size());
      for (int64_t i = 0; i < stop_ && rest.ends_with(content_); ++i)
        rest.remove_suffix(content_.size());
      token = std::string(rest);
    }
    return {};
  }

 private:
  std::string content_;
  int64_t start_ = 0, stop_ = 0;
};

class MetaspaceDecoder : public PieceDecoder {
 public:
  static Made make(const Json& j, const std::string& what) {
    auto d = std::make_unique<MetaspaceDecoder>();
    std::string mark;
    append_char(mark, NB_TRY(get_char(j, "replacement", std::string(kMetaspace), what)));
    d->mark_ = Pattern::literal(mark);
    bool prefix = NB_TRY(get_bool(j, "add_prefix_space", true, what));
    std::string fallback = prefix ? "always" : "never";
    d->prepends_ = NB_TRY(get_string(j, "prepend_scheme", fallback, what)) != "never";
    return d;
  }
  // Every mark is a space, but those of the first token were not in the text.
  Status apply(std::vector<std::string>& tokens) const override {
    for (size_t i = 0; i < tokens.size(); ++i)
      NB_TRY(replace_all(mark_, i > 0 || !prepends_ ? " " : "", tokens[i]));
    return {};
  }

 private:
  Pattern mark_;
  bool prepends_ = true;
};

// Tokens that begin with the prefix go on with the word, others begin one.
class WordPieceDecoder : public PieceDecoder {
 public:
  static Made make(const Json& j, const std::string& what) {
    auto d = std::make_unique<WordPieceDecoder>();
    d->prefix_ = NB_TRY(get_string(j, "prefix", "##", what));
    d->cleanup_ = NB_TRY(get_bool(j, "cleanup", true, what));
    return d;
  }
  Status apply(std::vector<std::string>& tokens) const override {
    for (size_t i = 0; i < tokens.size(); ++i) {
      std::string& token = tokens[i];
      if (i > 0 && token.starts_with(prefix_))
        token.erase(0, prefix_.size());
      else if (i > 0)
        token.insert(0, 1, ' ');
      if (cleanup_) NB_OK(clean(token));
    }
    return {};
  }

 private:
  // The reference's list, which joins punctuation and contractions to the word before.
  static Status clean(std::string& token) {
    static const std::pair<Pattern, std::string_view> kRules[] = {
        {Pattern::literal(" ."), "."},     {Pattern::literal(" ?"), "?"},
        {Pattern::literal(" !"), "!"},     {Pattern::literal(" ,"), ","},
        {Pattern::literal(" ' "), "'"},    {Pattern::literal(" n't"), "n't"},
        {Pattern::literal(" 'm"), "'m"},   {Pattern::literal(" do not"), " don't"},
        {Pattern::literal(" 's"), "'s"},   {Pattern::literal(" 've"), "'ve"},
        {Pattern::literal(" 're"), "'re"},
    };
    for (const auto& [from, to] : kRules) NB_TRY(replace_all(from, to, token));
    return {};
  }
  std::string prefix_;
  bool cleanup_ = true;
};

// The mark of a word's end becomes a space, at the end of all nothing.
class BpeDecoder : public PieceDecoder {
 public:
  static Made make(const Json& j, const std::string& what) {
    auto d = std::make_unique<BpeDecoder>();
    d->suffix_ = Pattern::literal(NB_TRY(get_string(j, "suffix", "</w>", what)));
    return d;
  }
  Status apply(std::vector<std::string>& tokens) const override {
    for (size_t i = 0; i < tokens.size(); ++i)
      NB_TRY(replace_all(suffix_, i + 1 < tokens.size() ? " " : "", tokens[i]));
    return {};
  }

 private:
  Pattern suffix_;
};

constexpr Kind<PieceDecoder> kKinds[] = {
    {"ByteLevel", ByteLevelDecoder::make}, {"Replace", ReplaceDecoder::make},
    {"ByteFallback", ByteFallback::make},  {"Fuse", Fuse::make},
    {"Strip", StripDecoder::make},         {"Metaspace", MetaspaceDecoder::make},
    {"WordPiece", WordPieceDecoder::make}, {"BPEDecoder", BpeDecoder::make},
};

}  // namespace

Result<std::vector<std::unique_ptr<PieceDecoder>>> make_decoders(const Json& j,
                                                                 const std::string& what) {
  return make_parts<PieceDecoder>(j, "decoders", "decoder", kKinds, what);
}

}  // namespace nibble
