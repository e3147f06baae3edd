#include "jinja/lexer.h"

#include <algorithm>
#include <array>

#include "jinja/escapes.h"
#include "text/python_text.h"
#include "text/utf8.h"

namespace nibble::jinja {
namespace {

using Type = Token::Type;

// \r\n and \r become \n, and one line break at the end goes.
std::string normal_lines(std::string_view source) {
  std::string out;
  for (size_t i = 0; i < source.size(); ++i) {
    if (source[i] == '\r' && i + 1 < source.size() && source[i + 1] == '\n') continue;
    out += source[i] == '\r' ? '\n' : source[i];
  }
  if (out.ends_with('\n')) out.pop_back();
  return out;
}

bool is_digit(char c) { return c >= '0' && c <= '9'; }

class Lexer {
 public:
  explicit Lexer(std::string source) : source_(std::move(source)) {}

  Result<std::vector<Token>> run() {
    while (at_ < source_.size()) NB_OK(data());
    add(Type::kEnd, "");
    return std::move(tokens_);
  }

 private:
  std::string_view rest() const { return std::string_view(source_).substr(at_); }
  bool here(std::string_view text) const { return rest().starts_with(text); }
  void add(Type type, std::string text) { tokens_.push_back({type, std::move(text), line_}); }
  void advance(size_t count) {
    line_ +=
        static_cast<int>(std::count(source_.begin() + static_cast<ptrdiff_t>(at_),
                                    source_.begin() + static_cast<ptrdiff_t>(at_ + count), '\n'));
    at_ += count;
  }
  void skip_space() { advance(rest().size() - python_lstrip(rest()).size()); }
  template <class... A>
  std::unexpected<Error> wrong(fmt::format_string<A...> form, A&&... args) const {
    return fail("line {}: {}", line_, fmt::format(form, std::forward<A>(args)...));
  }

  // Text up to the next tag, and that tag.
  Status data() {
    size_t tag = source_.find('{', at_);
    while (tag != source_.npos && tag + 1 < source_.size() &&
           std::string_view("{%#").find(source_[tag + 1]) == std::string_view::npos)
      tag = source_.find('{', tag + 1);
    if (tag == source_.npos || tag + 1 >= source_.size()) {
      add(Type::kData, source_.substr(at_));
      at_ = source_.size();
      return {};
    }
    char kind = source_[tag + 1];
    char sign = tag + 2 < source_.size() ? source_[tag + 2] : ' ';
    std::string_view text = std::string_view(source_).substr(at_, tag - at_);
    std::string_view kept = before_tag(text, kind, sign);
    if (!kept.empty()) add(Type::kData, std::string(kept));
    advance(text.size() + 2 + (sign == '-' || sign == '+' ? 1 : 0));
    if (kind == '#') return comment();
    if (kind == '%' && starts_raw()) return raw();
    add(kind == '{' ? Type::kPrint : Type::kBlock, "");
    return code(kind == '{');
  }

  // The text before a tag without what its sign or lstrip_blocks takes away.
  std::string_view before_tag(std::string_view text, char kind, char sign) const {
    if (sign == '-') return python_rstrip(text);
    if (sign == '+' || kind == '{') return text;
    size_t line = text.rfind('\n') + 1;  // 0 where there is none
    if (line == 0 && !line_start_) return text;
    return python_lstrip(text.substr(line)).empty() ? text.substr(0, line) : text;
  }

  // Takes the end of a tag with the space that it swallows; `trims`: a line break after it goes
  // too.
  bool end_tag(std::string_view end, bool trims) {
    std::string minus = "-" + std::string(end), plus = "+" + std::string(end);
    size_t begin = at_;
    if (here(minus)) {
      advance(minus.size());
      skip_space();
    } else if (here(end) || (trims && here(plus))) {
      bool kept = !here(end);
      advance(kept ? plus.size() : end.size());
      if (trims && !kept && here("\n")) advance(1);
    } else {
      return false;
    }
    line_start_ = at_ > begin && source_[at_ - 1] == '\n';
    return true;
  }

  Status comment() {
    for (; at_ < source_.size(); advance(1))
      if (end_tag("#}", true)) return {};
    return wrong("a comment has no end");
  }

  // After "{%": whether "raw %}" follows, which is then taken.
  bool starts_raw() {
    std::string_view text = python_lstrip(rest());
    if (!text.starts_with("raw")) return false;
    text = python_lstrip(text.substr(3));
    bool minus = text.starts_with("-%}");
    if (!minus && !text.starts_with("%}")) return false;
    advance(static_cast<size_t>(text.data() - rest().data()) + (minus ? 3 : 2));
    if (minus) skip_space();
    return true;
  }

  Status raw() {
    size_t begin = at_;
    line_start_ = begin > 0 && source_[begin - 1] == '\n';
    for (size_t tag = source_.find("{%", at_); tag != source_.npos;
         tag = source_.find("{%", tag + 2)) {
      std::string_view text = std::string_view(source_).substr(begin, tag - begin);
      char sign = tag + 2 < source_.size() ? source_[tag + 2] : ' ';
      std::string_view after = std::string_view(source_).substr(tag + 2);
      if (sign == '-' || sign == '+') after.remove_prefix(1);
      after = python_lstrip(after);
      if (!after.starts_with("endraw")) continue;
      after = python_lstrip(after.substr(6));
      if (!after.starts_with("%}") && !after.starts_with("-%}") && !after.starts_with("+%}"))
        continue;
      std::string_view kept = before_tag(text, '%', sign);
      if (!kept.empty()) add(Type::kData, std::string(kept));
      advance(static_cast<size_t>(after.data() - source_.data()) - at_);
      end_tag("%}", true);
      return {};
    }
    return wrong("a raw block has no end");
  }

  // Inside {{ or {%: tokens until its end outside all brackets.
  Status code(bool print) {
    std::string open;
    for (;;) {
      skip_space();
      if (at_ >= source_.size()) return wrong("a tag has no end");
      if (open.empty() && end_tag(print ? "}}" : "%}", !print)) {
        add(print ? Type::kPrintEnd : Type::kBlockEnd, "");
        return {};
      }
      NB_OK(token(open));
    }
  }

  Status token(std::string& open) {
    char c = source_[at_];
    if (is_digit(c)) return number();
    if (c == '\'' || c == '"') return text(c);
    if (is_name_char()) return name();
    static constexpr std::array<std::string_view, 26> kOperators = {
        "//", "**", "==", "!=", ">=", "<=", "+", "-", "/", "*", "%", "~", "[",
        "]",  "(",  ")",  "{",  "}",  ">",  "<", "=", ".", ":", "|", ",", ";"};
    for (std::string_view op : kOperators) {
      if (!here(op)) continue;
      NB_OK(balance(op[0], open));
      add(Type::kOperator, std::string(op));
      advance(op.size());
      return {};
    }
    return wrong("an unexpected character in a tag");
  }

  Status balance(char c, std::string& open) {
    if (c == '(' || c == '[' || c == '{') open += c == '(' ? ')' : c == '[' ? ']' : '}';
    if (c != ')' && c != ']' && c != '}') return {};
    if (open.empty()) return wrong("unexpected '{}'", c);
    if (open.back() != c) return wrong("unexpected '{}', expected '{}'", c, open.back());
    open.pop_back();
    return {};
  }

  bool is_name_char() const {
    char c = source_[at_];
    if (static_cast<unsigned char>(c) < 0x80)
      return c == '_' || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || is_digit(c);
    return is_word_char(char_at(source_.data() + at_));
  }

  Status name() {
    size_t begin = at_;
    while (at_ < source_.size() && is_name_char())
      at_ += char_length(static_cast<unsigned char>(source_[at_]));
    add(Type::kName, source_.substr(begin, at_ - begin));
    return {};
  }

  Status text(char quote) {
    size_t end = at_ + 1;
    while (end < source_.size() && source_[end] != quote) end += source_[end] == '\\' ? 2 : 1;
    if (end >= source_.size()) return wrong("a text has no end");
    auto value = decode_escapes(std::string_view(source_).substr(at_ + 1, end - at_ - 1));
    if (!value) return wrong("{}", value.error().message);
    add(Type::kText, std::move(*value));
    advance(end + 1 - at_);
    return {};
  }

  // Digits with single underscores between them, which are dropped.
  std::string digits(std::string_view allowed = "0123456789") {
    std::string out;
    auto good = [&](size_t i) {
      return i < source_.size() && allowed.find(source_[i]) != allowed.npos;
    };
    while (good(at_) ||
           (!out.empty() && at_ < source_.size() && source_[at_] == '_' && good(at_ + 1))) {
      if (source_[at_] != '_') out += source_[at_];
      ++at_;
    }
    return out;
  }

  Status number() {
    for (auto [prefix, allowed] : {std::pair{"0x", "0123456789abcdefABCDEF"},
                                   {"0X", "0123456789abcdefABCDEF"},
                                   {"0o", "01234567"},
                                   {"0O", "01234567"},
                                   {"0b", "01"},
                                   {"0B", "01"}}) {
      if (!here(prefix)) continue;
      at_ += 2;
      std::string value = digits(allowed);
      if (value.empty()) return wrong("a number without digits");
      add(Type::kInteger, std::string(prefix).substr(0, 2) + value);
      return {};
    }
    bool after_dot = at_ > 0 && source_[at_ - 1] == '.';
    std::string value = digits();
    bool real = false;
    auto digit_at = [&](size_t i) { return i < source_.size() && is_digit(source_[i]); };
    if (!after_dot && here(".") && digit_at(at_ + 1)) {
      ++at_;
      value += "." + digits();
      real = true;
    }
    if (!after_dot && (here("e") || here("E"))) {
      size_t sign =
          at_ + 1 < source_.size() && (source_[at_ + 1] == '+' || source_[at_ + 1] == '-');
      if (digit_at(at_ + 1 + sign)) {
        value += source_.substr(at_, 1 + sign);
        at_ += 1 + sign;
        value += digits();
        real = true;
      }
    }
    if (!real && value.size() > 1 && value[0] == '0' && value.find_first_not_of('0') != value.npos)
      return wrong("a whole number begins with 0");
    add(real ? Type::kReal : Type::kInteger, value);
    return {};
  }

  std::string source_;
  size_t at_ = 0;
  int line_ = 1;
  bool line_start_ = true;  // the last tag ended with a line break
  std::vector<Token> tokens_;
};

}  // namespace

Result<std::vector<Token>> tokenize_template(std::string_view source) {
  return Lexer(normal_lines(source)).run();
}

}  // namespace nibble::jinja
