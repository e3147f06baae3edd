// Operands: names, values, brackets, and what follows them: subscripts, calls, filters, tests.
#include <charconv>

#include "jinja/token_stream.h"

namespace nibble::jinja {
namespace {

using Type = Token::Type;

Result<Value> number(TokenStream& in, const Token& token) {
  const std::string& text = token.text;
  if (token.type == Type::kReal) return Value::real(std::strtod(text.c_str(), nullptr));
  int base = 10;
  if (text.size() > 2 && text[0] == '0' && text[1] > '9')
    base = (text[1] | 0x20) == 'x' ? 16 : (text[1] | 0x20) == 'o' ? 8 : 2;
  const char *begin = text.data() + (base == 10 ? 0 : 2), *end = text.data() + text.size();
  int64_t value = 0;
  auto [stop, error] = std::from_chars(begin, end, value, base);
  if (error != std::errc() || stop != end) return in.wrong("a whole number beyond 64 bits");
  return Value::integer(value);
}

// Which of a macro's special names its body reads decides what it accepts.
void note_name(TokenStream& in, const std::string& name) {
  for (Macro* macro : in.macros) {
    if (name == "varargs") macro->uses_varargs = true;
    if (name == "kwargs") macro->uses_kwargs = true;
    if (name == "caller") macro->uses_caller = true;
  }
}

ExprPtr name_or_constant(TokenStream& in, const Token& token) {
  const std::string& t = token.text;
  if (t == "true" || t == "True") return make_value(token.line, Value::boolean(true));
  if (t == "false" || t == "False") return make_value(token.line, Value::boolean(false));
  if (t == "none" || t == "None") return make_value(token.line, Value::none());
  note_name(in, t);
  return make_expr(Expr::Kind::kName, token.line, t);
}

// Up to `close`, which is taken; a comma may stand before it.
Result<ExprPtr> parse_list(TokenStream& in, int line) {
  ExprPtr list = make_expr(Expr::Kind::kList, line);
  while (!in.skip_op("]")) {
    if (!list->parts.empty()) {
      NB_OK(in.expect_op(","));
      if (in.skip_op("]")) break;
    }
    list->parts.push_back(NB_TRY(parse_expression(in)));
  }
  return list;
}

Result<ExprPtr> parse_dict(TokenStream& in, int line) {
  ExprPtr dict = make_expr(Expr::Kind::kDict, line);
  while (!in.skip_op("}")) {
    if (!dict->parts.empty()) {
      NB_OK(in.expect_op(","));
      if (in.skip_op("}")) break;
    }
    dict->parts.push_back(NB_TRY(parse_expression(in)));
    NB_OK(in.expect_op(":"));
    dict->parts.push_back(NB_TRY(parse_expression(in)));
  }
  return dict;
}

Result<ExprPtr> parse_parentheses(TokenStream& in, int line) {
  if (in.skip_op(")")) return make_expr(Expr::Kind::kTuple, line);
  ExprPtr inner = NB_TRY(parse_tuple(in));
  NB_OK(in.expect_op(")"));
  return inner;
}

// An index or start:stop:step.
Result<ExprPtr> parse_subscript(TokenStream& in) {
  int line = in.now().line;
  auto ends = [&] { return in.now().op("]") || in.now().op(",") || in.now().op(":"); };
  ExprPtr start, stop, step;
  if (!in.now().op(":")) start = NB_TRY(parse_expression(in));
  if (!in.skip_op(":")) return start;
  if (!ends()) stop = NB_TRY(parse_expression(in));
  if (in.skip_op(":") && !ends()) step = NB_TRY(parse_expression(in));
  return make_of(Expr::Kind::kSlice, line, std::move(start), std::move(stop), std::move(step));
}

Result<ExprPtr> parse_item(TokenStream& in, ExprPtr object, int line) {
  std::vector<ExprPtr> parts;
  while (!in.skip_op("]")) {
    if (!parts.empty()) NB_OK(in.expect_op(","));
    parts.push_back(NB_TRY(parse_subscript(in)));
  }
  if (parts.size() == 1)
    return make_of(Expr::Kind::kItem, line, std::move(object), std::move(parts[0]));
  ExprPtr tuple = make_expr(Expr::Kind::kTuple, line);
  tuple->parts = std::move(parts);
  return make_of(Expr::Kind::kItem, line, std::move(object), std::move(tuple));
}

Result<CallArguments> parse_arguments(TokenStream& in) {
  CallArguments out;
  bool first = true;
  NB_OK(in.expect_op("("));
  while (!in.skip_op(")")) {
    if (!std::exchange(first, false)) {
      NB_OK(in.expect_op(","));
      if (in.skip_op(")")) break;
    }
    if (in.now().op("*") && !out.star && !out.star_star) {
      in.next();
      out.star = NB_TRY(parse_expression(in));
    } else if (in.now().op("**") && !out.star_star) {
      in.next();
      out.star_star = NB_TRY(parse_expression(in));
    } else if (in.now().type == Type::kName && in.ahead().op("=") && !out.star_star) {
      std::string name = in.next().text;
      in.next();
      out.named.emplace_back(std::move(name), NB_TRY(parse_expression(in)));
    } else if (!out.star && !out.star_star && out.named.empty()) {
      out.positional.push_back(NB_TRY(parse_expression(in)));
    } else {
      return in.wrong("arguments stand in a wrong order");
    }
  }
  return out;
}

Result<ExprPtr> parse_call(TokenStream& in, ExprPtr callee) {
  ExprPtr call = make_of(Expr::Kind::kCall, in.now().line, std::move(callee));
  call->arguments = NB_TRY(parse_arguments(in));
  return call;
}

Result<ExprPtr> parse_postfix(TokenStream& in, ExprPtr node) {
  // Each adds a level to the tree, though none to the reading of it.
  constexpr int kLongest = 100;
  for (int count = 0;; ++count) {
    if (count == kLongest) return in.wrong("more than {} subscripts or calls in a row", kLongest);
    int line = in.now().line;
    if (in.skip_op(".")) {
      if (in.now().type == Type::kInteger) {
        Token token = in.next();
        node = make_of(Expr::Kind::kItem, line, std::move(node),
                       make_value(line, NB_TRY(number(in, token))));
        continue;
      }
      ExprPtr attribute = make_of(Expr::Kind::kAttribute, line, std::move(node));
      attribute->text = NB_TRY(in.expect_name());
      node = std::move(attribute);
    } else if (in.skip_op("[")) {
      node = NB_TRY(parse_item(in, std::move(node), line));
    } else if (in.now().op("(")) {
      node = NB_TRY(parse_call(in, std::move(node)));
    } else {
      return node;
    }
  }
}

Result<std::string> dotted_name(TokenStream& in) {
  std::string name = NB_TRY(in.expect_name());
  while (in.skip_op(".")) name += "." + NB_TRY(in.expect_name());
  return name;
}

// After "is".
Result<ExprPtr> parse_test(TokenStream& in, ExprPtr input) {
  int line = in.now().line;
  bool negated = in.skip_name("not");
  ExprPtr test = make_of(Expr::Kind::kTest, line, std::move(input));
  test->text = NB_TRY(dotted_name(in));
  const Token& t = in.now();
  bool operand = t.type == Type::kName || t.type == Type::kText || t.type == Type::kInteger ||
                 t.type == Type::kReal || t.op("[") || t.op("{");
  if (t.op("(")) {
    test->arguments = NB_TRY(parse_arguments(in));
  } else if (operand && !t.name("else") && !t.name("or") && !t.name("and")) {
    if (t.name("is")) return in.wrong("tests cannot be chained with is");
    test->arguments.positional.push_back(NB_TRY(parse_postfix(in, NB_TRY(parse_primary(in)))));
  }
  if (!negated) return test;
  return make_of(Expr::Kind::kNot, line, std::move(test));
}

Result<ExprPtr> parse_filters_and_tests(TokenStream& in, ExprPtr node) {
  constexpr int kLongest = 100;
  for (int count = 0;; ++count) {
    if (count == kLongest) return in.wrong("more than {} filters in a row", kLongest);
    if (in.now().op("|"))
      node = NB_TRY(parse_filters(in, std::move(node), false));
    else if (in.skip_name("is"))
      node = NB_TRY(parse_test(in, std::move(node)));
    else if (in.now().op("("))
      node = NB_TRY(parse_call(in, std::move(node)));
    else
      return node;
  }
}

}  // namespace

Result<ExprPtr> parse_primary(TokenStream& in) {
  SourceLevel level(in);
  NB_OK(level.status);
  Token token = in.now();
  switch (token.type) {
    case Type::kName:
      in.next();
      return name_or_constant(in, token);
    case Type::kText: {
      std::string text;
      while (in.now().type == Type::kText) text += in.next().text;
      return make_value(token.line, make_constant(std::move(text)));
    }
    case Type::kInteger:
    case Type::kReal:
      in.next();
      return make_value(token.line, NB_TRY(number(in, token)));
    default:
      break;
  }
  if (in.skip_op("(")) return parse_parentheses(in, token.line);
  if (in.skip_op("[")) return parse_list(in, token.line);
  if (in.skip_op("{")) return parse_dict(in, token.line);
  return in.wrong("expected an expression");
}

Result<ExprPtr> parse_unary(TokenStream& in, bool with_filter) {
  SourceLevel level(in);
  NB_OK(level.status);
  int line = in.now().line;
  ExprPtr node;
  if (in.skip_op("-"))
    node = make_of(Expr::Kind::kNegative, line, NB_TRY(parse_unary(in, false)));
  else if (in.skip_op("+"))
    node = make_of(Expr::Kind::kPositive, line, NB_TRY(parse_unary(in, false)));
  else
    node = NB_TRY(parse_primary(in));
  node = NB_TRY(parse_postfix(in, std::move(node)));
  return with_filter ? parse_filters_and_tests(in, std::move(node)) : std::move(node);
}

Result<ExprPtr> parse_filters(TokenStream& in, ExprPtr input, bool inside) {
  constexpr int kLongest = 100;
  for (int count = 0; inside || in.now().op("|"); ++count) {
    if (count == kLongest) return in.wrong("more than {} filters in a row", kLongest);
    if (!std::exchange(inside, false)) in.next();
    ExprPtr filter = make_of(Expr::Kind::kFilter, in.now().line, std::move(input));
    filter->text = NB_TRY(dotted_name(in));
    if (in.now().op("(")) filter->arguments = NB_TRY(parse_arguments(in));
    input = std::move(filter);
  }
  return input;
}

}  // namespace nibble::jinja
