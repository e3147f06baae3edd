// Operators, conditions and tuples; parser_operands.cc has what they join.
#include "jinja/token_stream.h"

namespace nibble::jinja {
namespace {

using Type = Token::Type;

// Left-associative operators, lowest last. A long chain is a deep tree, so its length is bounded.
template <class Operand>
Result<ExprPtr> parse_chain(TokenStream& in, std::initializer_list<const char*> ops,
                            Operand operand) {
  constexpr int kLongest = 150;
  ExprPtr left = NB_TRY(operand(in));
  for (int count = 0;; ++count) {
    const char* found = nullptr;
    for (const char* op : ops)
      if (in.now().op(op)) found = op;
    if (!found) return left;
    if (count == kLongest) return in.wrong("more than {} operators in a row", kLongest);
    int line = in.now().line;
    in.next();
    left = make_of(Expr::Kind::kArithmetic, line, std::move(left), NB_TRY(operand(in)));
    left->text = found;
  }
}

Result<ExprPtr> parse_power(TokenStream& in) {
  return parse_chain(in, {"**"}, [](TokenStream& s) { return parse_unary(s); });
}
Result<ExprPtr> parse_product(TokenStream& in) {
  return parse_chain(in, {"*", "/", "//", "%"}, parse_power);
}

Result<ExprPtr> parse_concat(TokenStream& in) {
  ExprPtr first = NB_TRY(parse_product(in));
  if (!in.now().op("~")) return first;
  ExprPtr concat = make_of(Expr::Kind::kConcat, in.now().line, std::move(first));
  while (in.skip_op("~")) concat->parts.push_back(NB_TRY(parse_product(in)));
  return concat;
}
Result<ExprPtr> parse_sum(TokenStream& in) { return parse_chain(in, {"+", "-"}, parse_concat); }

std::string comparison(TokenStream& in) {
  for (const char* op : {"==", "!=", "<", "<=", ">", ">="})
    if (in.skip_op(op)) return op;
  if (in.skip_name("in")) return "in";
  if (in.now().name("not") && in.ahead().name("in")) {
    in.next();
    in.next();
    return "not in";
  }
  return "";
}

Result<ExprPtr> parse_compare(TokenStream& in) {
  int line = in.now().line;
  ExprPtr first = NB_TRY(parse_sum(in));
  std::string op = comparison(in);
  if (op.empty()) return first;
  ExprPtr compare = make_of(Expr::Kind::kCompare, line, std::move(first));
  for (; !op.empty(); op = comparison(in)) {
    compare->operators.push_back(op);
    compare->parts.push_back(NB_TRY(parse_sum(in)));
  }
  return compare;
}

Result<ExprPtr> parse_not(TokenStream& in) {
  SourceLevel level(in);
  NB_OK(level.status);
  int line = in.now().line;
  if (!in.skip_name("not")) return parse_compare(in);
  return make_of(Expr::Kind::kNot, line, NB_TRY(parse_not(in)));
}

// All operands of a row of "and" or "or" are parts of one node.
Result<ExprPtr> parse_and(TokenStream& in) {
  ExprPtr first = NB_TRY(parse_not(in));
  if (!in.now().name("and")) return first;
  ExprPtr all = make_of(Expr::Kind::kAnd, in.now().line, std::move(first));
  while (in.skip_name("and")) all->parts.push_back(NB_TRY(parse_not(in)));
  return all;
}
Result<ExprPtr> parse_or(TokenStream& in) {
  ExprPtr first = NB_TRY(parse_and(in));
  if (!in.now().name("or")) return first;
  ExprPtr any = make_of(Expr::Kind::kOr, in.now().line, std::move(first));
  while (in.skip_name("or")) any->parts.push_back(NB_TRY(parse_and(in)));
  return any;
}

Result<ExprPtr> parse_condition(TokenStream& in) {
  SourceLevel level(in);
  NB_OK(level.status);
  ExprPtr then = NB_TRY(parse_or(in));
  int line = in.now().line;
  constexpr int kLongest = 100;
  for (int count = 0; in.skip_name("if"); ++count) {
    if (count == kLongest) return in.wrong("more than {} conditions in a row", kLongest);
    ExprPtr test = NB_TRY(parse_or(in)), otherwise;
    if (in.skip_name("else")) otherwise = NB_TRY(parse_condition(in));
    then = make_of(Expr::Kind::kCondition, line, std::move(test), std::move(then),
                   std::move(otherwise));
  }
  return then;
}

bool ends_tuple(const TokenStream& in, const char* stop) {
  const Token& t = in.now();
  return t.type == Type::kPrintEnd || t.type == Type::kBlockEnd || t.op(")") ||
         (*stop && t.name(stop));
}

// With commas between as a tuple, one alone as itself.
template <class Part>
Result<ExprPtr> parse_parts(TokenStream& in, const char* stop, Part part) {
  int line = in.now().line;
  std::vector<ExprPtr> parts;
  bool tuple = false;
  while (!ends_tuple(in, stop)) {
    parts.push_back(NB_TRY(part()));
    if (!in.skip_op(",")) break;
    tuple = true;
  }
  if (!tuple && parts.empty()) return in.wrong("expected an expression");
  if (!tuple) return std::move(parts[0]);
  ExprPtr out = make_expr(Expr::Kind::kTuple, line);
  out->parts = std::move(parts);
  return out;
}

Status check_target(const TokenStream& in, const Expr& target) {
  if (target.kind == Expr::Kind::kName || target.kind == Expr::Kind::kNamespaceRef) return {};
  if (target.kind != Expr::Kind::kTuple) return in.wrong("cannot assign to that");
  for (const ExprPtr& part : target.parts) NB_OK(check_target(in, *part));
  return {};
}

}  // namespace

Result<ExprPtr> parse_expression(TokenStream& in, bool with_condition) {
  return with_condition ? parse_condition(in) : parse_or(in);
}

Result<ExprPtr> parse_tuple(TokenStream& in, bool with_condition, const char* stop) {
  SourceLevel level(in);
  NB_OK(level.status);
  return parse_parts(in, stop, [&] { return parse_expression(in, with_condition); });
}

Result<ExprPtr> parse_target(TokenStream& in, bool with_namespace, const char* stop) {
  auto part = [&]() -> Result<ExprPtr> {
    if (!with_namespace || in.now().type != Type::kName || !in.ahead().op("."))
      return parse_primary(in);
    ExprPtr ref = make_expr(Expr::Kind::kNamespaceRef, in.now().line, in.next().text);
    in.next();
    ref->parts.push_back(make_value(ref->line, make_constant(NB_TRY(in.expect_name()))));
    return ref;
  };
  ExprPtr target = NB_TRY(parse_parts(in, stop, part));
  NB_OK(check_target(in, *target));
  return target;
}

}  // namespace nibble::jinja
