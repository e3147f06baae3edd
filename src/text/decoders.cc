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
    append_char(d->mark_, NB_TRY(get_char(j, "replacement", std::string(kMetaspace), what)));
    bool prefix = NB_TRY(get_bool(j, "add_prefix_space", true, what));
    std::string fallback = prefix ? "always" : "never";
    d->prepends_ = NB_TRY(get_string(j, "prepend_scheme", fallback, what)) != "never";
    return d;
  }
  // Every mark is a space, but those of the first token were not in the text.
  Status apply(std::vector<std::string>& tokens) const override {
    for (size_t i = 0; i < tokens.size(); ++i) {
      std::string out;
      size_t copied = 0;
      for (size_t at; (at = tokens[i].find(mark_, copied)) != std::string::npos;) {
        out.append(tokens[i], copied, at - copied);
        if (i > 0 || !prepends_) out += ' ';
        copied = at + mark_.size();
      }
      tokens[i] = out.append(tokens[i], copied);
    }
    return {};
  }

 private:
  std::string mark_;
  bool prepends_ = true;
};

constexpr Kind<PieceDecoder> kKinds[] = {
    {"ByteLevel", ByteLevelDecoder::make}, {"Replace", ReplaceDecoder::make},
    {"ByteFallback", ByteFallback::make},  {"Fuse", Fuse::make},
    {"Strip", StripDecoder::make},         {"Metaspace", MetaspaceDecoder::make},
};

}  // namespace

Result<std::vector<std::unique_ptr<PieceDecoder>>> make_decoders(const Json& j,
                                                                 const std::string& what) {
  return make_parts<PieceDecoder>(j, "decoders", "decoder", kKinds, what);
}

}  // namespace nibble
