// What both halves of the parser, statements and expressions, read from.
#pragma once

#include <vector>

#include "jinja/ast.h"
#include "jinja/lexer.h"

namespace nibble::jinja {

class TokenStream {
 public:
  explicit TokenStream(std::vector<Token> tokens) : tokens_(std::move(tokens)) {}

  const Token& now() const { return tokens_[at_]; }
  const Token& ahead() const { return tokens_[std::min(at_ + 1, tokens_.size() - 1)]; }
  const Token& next() { return tokens_[at_ + 1 < tokens_.size() ? at_++ : at_]; }
  bool skip_op(std::string_view op) { return now().op(op) && (next(), true); }
  bool skip_name(std::string_view name) { return now().name(name) && (next(), true); }
  Status expect_op(std::string_view op) {
    if (skip_op(op)) return {};
    return wrong("expected '{}'", op);
  }
  Result<std::string> expect_name() {
    if (now().type != Token::Type::kName) return wrong("expected a name");
    return next().text;
  }
  template <class... A>
  std::unexpected<Error> wrong(fmt::format_string<A...> form, A&&... args) const {
    std::string found = now().type == Token::Type::kEnd ? "the end of the template"
                        : now().text.empty()            ? "the end of the tag"
                                                        : in_quotes(now().text);
    return fail("line {}: {}, found {}", now().line, fmt::format(form, std::forward<A>(args)...),
                found);
  }
  // One more level of nesting; undone by leave().
  Status enter() {
    constexpr int kDeepest = 100;
    if (++depth_ > kDeepest) return wrong("nested deeper than {}", kDeepest);
    return {};
  }
  void leave() { --depth_; }

  std::vector<Macro*> macros;  // those whose body is being read, innermost last

 private:
  std::vector<Token> tokens_;
  size_t at_ = 0;
  int depth_ = 0;
};

// A level of nesting of the source, for as long as this lives.
class SourceLevel {
 public:
  explicit SourceLevel(TokenStream& stream) : status(stream.enter()), stream_(stream) {}
  ~SourceLevel() { stream_.leave(); }
  SourceLevel(const SourceLevel&) = delete;
  SourceLevel& operator=(const SourceLevel&) = delete;
  Status status;

 private:
  TokenStream& stream_;
};

inline ExprPtr make_expr(Expr::Kind kind, int line, std::string text = "") {
  auto e = std::make_unique<Expr>();
  e->kind = kind;
  e->line = line;
  e->text = std::move(text);
  return e;
}
template <class... P>
ExprPtr make_of(Expr::Kind kind, int line, P... parts) {
  ExprPtr e = make_expr(kind, line);
  (e->parts.push_back(std::move(parts)), ...);
  return e;
}
inline ExprPtr make_value(int line, Value value) {
  ExprPtr e = make_expr(Expr::Kind::kConstant, line);
  e->value = std::move(value);
  return e;
}

// parser_operands.cc
Result<ExprPtr> parse_primary(TokenStream& in);
Result<ExprPtr> parse_unary(TokenStream& in, bool with_filter = true);

// The expressions (parser_expressions.cc).
Result<ExprPtr> parse_expression(TokenStream& in, bool with_condition = true);
// One expression, or several with commas as a tuple; `stop`: a name that ends it.
Result<ExprPtr> parse_tuple(TokenStream& in, bool with_condition = true, const char* stop = "");
// What can be assigned to: a name, several, or with `with_namespace` also ns.attribute.
Result<ExprPtr> parse_target(TokenStream& in, bool with_namespace = false, const char* stop = "");
// "name(arguments)|name..." after the bar where one stands; `input` may be null.
Result<ExprPtr> parse_filters(TokenStream& in, ExprPtr input, bool inside);

}  // namespace nibble::jinja
