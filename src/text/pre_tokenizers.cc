// Reference: huggingface/tokenizers, tokenizers/src/pre_tokenizers.
#include "text/pre_tokenizers.h"

#include "text/byte_level.h"
#include "text/splitting.h"
#include "text/utf8.h"

namespace nibble {
namespace {

using Made = Result<std::unique_ptr<PreTokenizer>>;

// Rewrites every word: `write(word, index, out)` appends what it becomes.
template <class F>
void rewrite_words(PreTokens& tokens, F&& write) {
  std::string out;
  out.reserve(tokens.text.size() + tokens.text.size() / 4 + 4);
  for (size_t i = 0; i < tokens.words.size(); ++i) {
    Match& w = tokens.words[i];
    size_t begin = out.size();
    write(std::string_view(tokens.text).substr(w.begin, w.end - w.begin), i, out);
    w = {begin, out.size()};
  }
  tokens.text.swap(out);
}

// Splits every word at the characters that `matches` picks, each a match of its own.
template <class F>
void split_at_chars(PreTokens& tokens, SplitBehavior behavior, F&& matches) {
  std::vector<Match> words;
  Splitter splitter(behavior);
  for (Match word : tokens.words) {
    splitter.start(word);
    for (size_t i = word.begin, n; i < word.end; i += n) {
      n = char_length(static_cast<unsigned char>(tokens.text[i]));
      if (matches(char_at(tokens.text.data() + i))) splitter.match({i, i + n});
    }
    splitter.finish(false, words);
  }
  tokens.words.swap(words);
}

class ByteLevel : public PreTokenizer {
 public:
  static Made make(const Json& j, const std::string& what) {
    auto p = std::make_unique<ByteLevel>();
    p->prefix_space_ = NB_TRY(get_bool(j, "add_prefix_space", true, what));
    p->use_regex_ = NB_TRY(get_bool(j, "use_regex", true, what));
    return p;
  }
  Status apply(PreTokens& tokens) const override {
    if (prefix_space_) {
      rewrite_words(tokens, [](std::string_view word, size_t, std::string& out) {
        if (!word.starts_with(' ')) out += ' ';
        out += word;
      });
    }
    if (use_regex_) {
      std::vector<Match> words;
      words.reserve(tokens.text.size() / 4);
      for (Match word : tokens.words) split_gpt2(tokens.text, word, words);
      tokens.words.swap(words);
    }
    if (spell_) {
      rewrite_words(tokens, [](std::string_view word, size_t, std::string& out) {
        out += spell_bytes(word);
      });
    }
    return {};
  }
  bool keep_raw_bytes() override {
    spell_ = false;
    return true;
  }

 private:
  bool prefix_space_ = true, use_regex_ = true, spell_ = true;
};

class Split : public PreTokenizer {
 public:
  static Made make(const Json& j, const std::string& what) {
    auto p = std::make_unique<Split>();
    p->pattern_ = NB_TRY(Pattern::read(j, what));
    p->behavior_ = NB_TRY(read_split_behavior(j, std::nullopt, what));
    p->invert_ = NB_TRY(get_bool(j, "invert", false, what));
    return p;
  }
  Status apply(PreTokens& tokens) const override {
    std::vector<Match> words;
    words.reserve(tokens.text.size() / 4);
    Splitter splitter(behavior_);
    for (Match word : tokens.words) {
      splitter.start(word);
      auto text = std::string_view(tokens.text).substr(word.begin, word.end - word.begin);
      NB_OK(pattern_.for_each(
          text, [&](Match m) { splitter.match({word.begin + m.begin, word.begin + m.end}); }));
      splitter.finish(invert_, words);
    }
    tokens.words.swap(words);
    return {};
  }

 private:
  Pattern pattern_;
  SplitBehavior behavior_ = SplitBehavior::kIsolated;
  bool invert_ = false;
};

class Digits : public PreTokenizer {
 public:
  static Made make(const Json& j, const std::string& what) {
    auto p = std::make_unique<Digits>();
    p->individual_ = NB_TRY(get_bool(j, "individual_digits", false, what));
    return p;
  }
  Status apply(PreTokens& tokens) const override {
    split_at_chars(tokens, individual_ ? SplitBehavior::kIsolated : SplitBehavior::kContiguous,
                   is_number);
    return {};
  }

 private:
  bool individual_ = false;
};

class Punctuation : public PreTokenizer {
 public:
  static Made make(const Json& j, const std::string& what) {
    auto p = std::make_unique<Punctuation>();
    p->behavior_ = NB_TRY(read_split_behavior(j, "Isolated", what));
    return p;
  }
  Status apply(PreTokens& tokens) const override {
    split_at_chars(tokens, behavior_, is_punctuation);
    return {};
  }

 private:
  SplitBehavior behavior_ = SplitBehavior::kIsolated;
};

// Runs of word characters and runs of what is neither that nor space: \w+|[^\w\s]+.
class Whitespace : public PreTokenizer {
 public:
  static Made make(const Json&, const std::string&) { return std::make_unique<Whitespace>(); }
  Status apply(PreTokens& tokens) const override {
    std::vector<Match> words;
    auto kind_at = [&](size_t i) {
      char32_t c = char_at(tokens.text.data() + i);
      return is_word_char(c) ? 1 : is_space(c) ? 0 : 2;
    };
    for (Match word : tokens.words) {
      for (size_t i = word.begin, end; i < word.end; i = end) {
        int kind = kind_at(i);
        for (end = i; end < word.end && kind_at(end) == kind;)
          end += char_length(static_cast<unsigned char>(tokens.text[end]));
        if (kind != 0) words.push_back({i, end});
      }
    }
    tokens.words.swap(words);
    return {};
  }
};

class WhitespaceSplit : public PreTokenizer {
 public:
  static Made make(const Json&, const std::string&) { return std::make_unique<WhitespaceSplit>(); }
  Status apply(PreTokens& tokens) const override {
    split_at_chars(tokens, SplitBehavior::kRemoved, is_space);
    return {};
  }
};

class BertPreTokenizer : public PreTokenizer {
 public:
  static Made make(const Json&, const std::string&) { return std::make_unique<BertPreTokenizer>(); }
  Status apply(PreTokens& tokens) const override {
    split_at_chars(tokens, SplitBehavior::kRemoved, is_space);
    split_at_chars(tokens, SplitBehavior::kIsolated, is_punctuation);
    return {};
  }
};

class CharDelimiterSplit : public PreTokenizer {
 public:
  static Made make(const Json& j, const std::string& what) {
    auto p = std::make_unique<CharDelimiterSplit>();
    p->delimiter_ = NB_TRY(get_char(j, "delimiter", std::nullopt, what));
    return p;
  }
  Status apply(PreTokens& tokens) const override {
    split_at_chars(tokens, SplitBehavior::kRemoved, [&](char32_t c) { return c == delimiter_; });
    return {};
  }

 private:
  char32_t delimiter_ = 0;
};

class FixedLength : public PreTokenizer {
 public:
  static Made make(const Json& j, const std::string& what) {
    auto p = std::make_unique<FixedLength>();
    p->length_ = NB_TRY(get_int(j, "length", 5, what));
    if (p->length_ < 1) return fail("{}: \"length\" should be above 0", what);
    return p;
  }
  Status apply(PreTokens& tokens) const override {
    std::vector<Match> words;
    for (Match word : tokens.words) {
      for (size_t i = word.begin, end = i; i < word.end; i = end) {
        for (int64_t n = 0; n < length_ && end < word.end; ++n)
          end += char_length(static_cast<unsigned char>(tokens.text[end]));
        words.push_back({i, end});
      }
    }
    tokens.words.swap(words);
    return {};
  }

 private:
  int64_t length_ = 0;  // in characters
};

class Metaspace : public PreTokenizer {
 public:
  static Made make(const Json& j, const std::string& what) {
    auto p = std::make_unique<Metaspace>();
    p->mark_ = NB_TRY(get_char(j, "replacement", std::string(kMetaspace), what));
    append_char(p->spelling_, p->mark_);
    bool prefix = NB_TRY(get_bool(j, "add_prefix_space", true, what));
    p->scheme_ = NB_TRY(get_string(j, "prepend_scheme", prefix ? "always" : "never", what));
    if (p->scheme_ != "always" && p->scheme_ != "first" && p->scheme_ != "never")
      return fail("{}: prepend_scheme \"{}\" is unknown", what, p->scheme_);
    p->split_ = NB_TRY(get_bool(j, "split", true, what));
    return p;
  }
  Status apply(PreTokens& tokens) const override {
    rewrite_words(tokens, [&](std::string_view word, size_t i, std::string& out) {
      bool prepend = scheme_ == "always" || (scheme_ == "first" && tokens.at_start && i == 0);
      if (prepend && !word.starts_with(' ') && !word.starts_with(spelling_)) out += spelling_;
      for (char c : word) c == ' ' ? out += spelling_ : out += c;
    });
    if (split_)
      split_at_chars(tokens, SplitBehavior::kMergedWithNext,
                     [&](char32_t c) { return c == mark_; });
    return {};
  }

 private:
  char32_t mark_ = 0;
  std::string spelling_, scheme_;
  bool split_ = true;
};

constexpr Kind<PreTokenizer> kKinds[] = {
    {"ByteLevel", ByteLevel::make},
    {"Split", Split::make},
    {"Digits", Digits::make},
    {"Punctuation", Punctuation::make},
    {"Whitespace", Whitespace::make},
    {"WhitespaceSplit", WhitespaceSplit::make},
    {"BertPreTokenizer", BertPreTokenizer::make},
    {"CharDelimiterSplit", CharDelimiterSplit::make},
    {"FixedLength", FixedLength::make},
    {"Metaspace", Metaspace::make},
};

}  // namespace

Result<std::vector<std::unique_ptr<PreTokenizer>>> make_pre_tokenizers(const Json& j,
                                                                       const std::string& what) {
  return make_parts<PreTokenizer>(j, "pretokenizers", "pre-tokenizer", kKinds, what);
}

}  // namespace nibble
