#include "jinja/parser.h"

#include <algorithm>

#include "jinja/token_stream.h"
#include "text/utf8.h"

namespace nibble::jinja {
namespace {

using Type = Token::Type;
using Kind = Statement::Kind;
using Block = std::vector<Statement>;

class Parser {
 public:
  explicit Parser(std::vector<Token> tokens) : in_(std::move(tokens)) {}

  Result<Block> run() {
    Block body = NB_TRY(block({}));
    if (in_.now().type != Type::kEnd) return in_.wrong("unexpected tag");
    return body;
  }

 private:
  // Statements until the end of the template or a tag whose name is one of `ends`, at which the
  // stream then stands.
  Result<Block> block(std::initializer_list<const char*> ends) {
    SourceLevel level(in_);
    NB_OK(level.status);
    Block out;
    for (;;) {
      const Token& token = in_.now();
      if (token.type == Type::kEnd) {
        if (ends.size() > 0) return in_.wrong("expected {}", *std::rbegin(ends));
        return out;
      }
      if (token.type == Type::kData) {
        out.push_back({.kind = Kind::kText, .line = token.line, .text = in_.next().text});
      } else if (token.type == Type::kPrint) {
        out.push_back(NB_TRY(print()));
      } else {
        in_.next();
        for (const char* end : ends)
          if (in_.now().name(end)) return out;
        NB_OK(statement(out));
        NB_OK(end_of_tag());
      }
    }
  }

  Status end_of_tag() {
    if (in_.now().type != Type::kBlockEnd) return in_.wrong("expected the end of the tag");
    in_.next();
    return {};
  }

  // The body after a tag's head, its end tag taken but for "%}".
  Result<Block> body(std::initializer_list<const char*> ends) {
    in_.skip_op(":");
    NB_OK(end_of_tag());
    return block(ends);
  }
  Result<Block> body_until(const char* end) {
    Block out = NB_TRY(body({end}));
    in_.next();
    return out;
  }

  Result<Statement> print() {
    Statement s{.kind = Kind::kPrint, .line = in_.next().line};
    s.expressions.push_back(NB_TRY(parse_tuple(in_)));
    if (in_.now().type != Type::kPrintEnd) return in_.wrong("expected }}}}");
    in_.next();
    return s;
  }

  Status statement(Block& out) {
    struct Tag {
      const char* name;
      Result<Statement> (Parser::*parse)(Statement);
    };
    static constexpr Tag kTags[] = {
        {"if", &Parser::if_},
        {"for", &Parser::for_},
        {"set", &Parser::set_},
        {"macro", &Parser::macro_},
        {"call", &Parser::call_},
        {"filter", &Parser::filter_},
        {"with", &Parser::with_},
        {"print", &Parser::print_},
        {"break", &Parser::break_},
        {"continue", &Parser::continue_},
        {"block", &Parser::block_},
        {"generation", &Parser::generation_},
        {"autoescape", &Parser::autoescape_},
    };
    for (const Tag& tag : kTags) {
      if (!in_.now().name(tag.name)) continue;
      Statement s{.kind = Kind::kScope, .line = in_.next().line};
      out.push_back(NB_TRY((this->*tag.parse)(std::move(s))));
      return {};
    }
    return in_.wrong("unknown tag");
  }

  Result<Statement> if_(Statement s) {
    s.kind = Kind::kIf;
    for (;;) {
      ExprPtr test = NB_TRY(parse_tuple(in_, /*with_condition=*/false));
      Block then = NB_TRY(body({"elif", "else", "endif"}));
      s.branches.emplace_back(std::move(test), std::move(then));
      if (!in_.skip_name("elif")) break;
    }
    if (in_.skip_name("else"))
      s.otherwise = NB_TRY(body_until("endif"));
    else
      in_.next();
    return s;
  }

  Result<Statement> for_(Statement s) {
    s.kind = Kind::kFor;
    s.target = NB_TRY(parse_target(in_, false, "in"));
    if (!in_.skip_name("in")) return in_.wrong("expected in");
    s.iterable = NB_TRY(parse_tuple(in_, /*with_condition=*/false, "recursive"));
    if (in_.skip_name("if")) s.test = NB_TRY(parse_expression(in_));
    s.recursive = in_.skip_name("recursive");
    ++loops_;
    s.body = NB_TRY(body({"else", "endfor"}));
    --loops_;
    if (in_.skip_name("else"))
      s.otherwise = NB_TRY(body_until("endfor"));
    else
      in_.next();
    return s;
  }

  Result<Statement> set_(Statement s) {
    s.target = NB_TRY(parse_target(in_, /*with_namespace=*/true));
    if (in_.skip_op("=")) {
      s.kind = Kind::kSet;
      s.iterable = NB_TRY(parse_tuple(in_));
      return s;
    }
    s.kind = Kind::kSetBlock;
    s.filter = NB_TRY(parse_filters(in_, nullptr, false));
    s.body = NB_TRY(body_until("endset"));
    return s;
  }

  Status signature(Macro& macro) {
    NB_OK(in_.expect_op("("));
    while (!in_.skip_op(")")) {
      if (!macro.parameters.empty()) NB_OK(in_.expect_op(","));
      macro.parameters.push_back(NB_TRY(in_.expect_name()));
      if (in_.skip_op("="))
        macro.defaults.push_back(NB_TRY(parse_expression(in_)));
      else if (!macro.defaults.empty())
        return in_.wrong("a parameter without a default follows one with");
    }
    return {};
  }

  // A loop outside a macro is none that break inside could end.
  Status macro_body(Macro& macro, const char* end) {
    in_.macros.push_back(&macro);
    int loops = std::exchange(loops_, 0);
    macro.body = NB_TRY(body_until(end));
    loops_ = loops;
    in_.macros.pop_back();
    return {};
  }

  Result<Statement> macro_(Statement s) {
    s.kind = Kind::kMacro;
    s.macro = std::make_shared<Macro>();
    s.macro->name = NB_TRY(in_.expect_name());
    NB_OK(signature(*s.macro));
    NB_OK(macro_body(*s.macro, "endmacro"));
    return s;
  }

  Result<Statement> call_(Statement s) {
    s.kind = Kind::kCall;
    s.macro = std::make_shared<Macro>();
    s.macro->name = "caller";
    if (in_.now().op("(")) NB_OK(signature(*s.macro));
    s.iterable = NB_TRY(parse_expression(in_));
    if (s.iterable->kind != Expr::Kind::kCall) return in_.wrong("expected a call");
    NB_OK(macro_body(*s.macro, "endcall"));
    return s;
  }

  Result<Statement> filter_(Statement s) {
    s.kind = Kind::kFilter;
    s.filter = NB_TRY(parse_filters(in_, nullptr, /*inside=*/true));
    s.body = NB_TRY(body_until("endfilter"));
    return s;
  }

  Result<Statement> with_(Statement s) {
    s.kind = Kind::kWith;
    while (in_.now().type != Type::kBlockEnd) {
      if (!s.targets.empty()) NB_OK(in_.expect_op(","));
      s.targets.push_back(NB_TRY(parse_target(in_)));
      NB_OK(in_.expect_op("="));
      s.expressions.push_back(NB_TRY(parse_expression(in_)));
    }
    s.body = NB_TRY(body_until("endwith"));
    return s;
  }

  Result<Statement> print_(Statement s) {
    s.kind = Kind::kPrint;
    while (in_.now().type != Type::kBlockEnd) {
      if (!s.expressions.empty()) NB_OK(in_.expect_op(","));
      s.expressions.push_back(NB_TRY(parse_expression(in_)));
    }
    return s;
  }

  Result<Statement> leave_loop(Statement s, Kind kind) {
    if (loops_ == 0) return in_.wrong("break and continue belong into a loop");
    s.kind = kind;
    return s;
  }
  Result<Statement> break_(Statement s) { return leave_loop(std::move(s), Kind::kBreak); }
  Result<Statement> continue_(Statement s) { return leave_loop(std::move(s), Kind::kContinue); }

  Result<Statement> block_(Statement s) {
    std::string name = NB_TRY(in_.expect_name());
    in_.skip_name("scoped");
    s.body = NB_TRY(body_until("endblock"));
    in_.skip_name(name);
    return s;
  }

  // What the model itself wrote (transformers marks it for training); here a scope like any.
  Result<Statement> generation_(Statement s) {
    int loops = std::exchange(loops_, 0);
    s.body = NB_TRY(body_until("endgeneration"));
    loops_ = loops;
    return s;
  }

  Result<Statement> autoescape_(Statement s) {
    NB_TRY(parse_expression(in_));  // chat templates escape nothing either way
    s.body = NB_TRY(body_until("endautoescape"));
    return s;
  }

  TokenStream in_;
  int loops_ = 0;
};

}  // namespace

Result<std::vector<Statement>> parse_template(std::string_view source) {
  NB_OK(check_text(source));
  constexpr size_t kLargest = 1 << 20;
  if (source.size() > kLargest) return fail("a template of more than {} bytes", kLargest);
  return Parser(NB_TRY(tokenize_template(source))).run();
}

}  // namespace nibble::jinja
