// What may stand after "is" (jinja2/tests.py).
#include "jinja/builtins.h"
#include "jinja/compare.h"
#include "jinja/print.h"

namespace nibble::jinja {
namespace {

Result<Value> answer(Call& c, bool holds) {
  NB_OK(c.bind({}));
  return Value::boolean(holds);
}

template <Kind kKind>
Result<Value> of_kind(Call& c) {
  return answer(c, c.self.is(kKind));
}
Result<Value> defined(Call& c) { return answer(c, !c.self.is(Kind::kUndefined)); }
Result<Value> is_true(Call& c) { return answer(c, c.self.is(Kind::kBool) && c.self.to_int() == 1); }
Result<Value> is_false(Call& c) {
  return answer(c, c.self.is(Kind::kBool) && c.self.to_int() == 0);
}
Result<Value> number(Call& c) { return answer(c, c.self.is_number()); }
Result<Value> callable(Call& c) {
  return answer(c, c.self.is(Kind::kCallable) || c.self.is(Kind::kLoop));
}

// Has a length and items by index: Python's views and generators lack the latter.
Result<Value> sequence(Call& c) {
  Kind k = c.self.kind();
  return answer(c, k == Kind::kText || k == Kind::kList || k == Kind::kTuple || k == Kind::kRange ||
                       k == Kind::kDict || k == Kind::kUndefined);
}
Result<Value> iterable(Call& c) {
  Kind k = c.self.kind();
  return answer(c, c.self.is_sequence() || k == Kind::kText || k == Kind::kDict ||
                       k == Kind::kUndefined || k == Kind::kLoop);
}

Result<Value> divides(Call& c, const Value& by, int64_t rest) {
  Value left = NB_TRY(arithmetic(c.in, "%", c.self, by));
  return Value::boolean(NB_TRY(equal(c.budget(), left, Value::integer(rest))));
}
Result<Value> odd(Call& c) {
  NB_OK(c.bind({}));
  return divides(c, Value::integer(2), 1);
}
Result<Value> even(Call& c) {
  NB_OK(c.bind({}));
  return divides(c, Value::integer(2), 0);
}
Result<Value> divisibleby(Call& c) {
  NB_OK(c.bind({"num"}, 1));
  return divides(c, c[0], 0);
}

// All letters of that case, and at least one of them.
Result<Value> cased(Call& c, bool upper) {
  NB_OK(c.bind({}));
  std::string text = NB_TRY(to_text(c.budget(), c.self));
  std::string up = upper_text(text), low = lower_text(text);
  return Value::boolean(up != low && text == (upper ? up : low));
}
Result<Value> upper(Call& c) { return cased(c, true); }
Result<Value> lower(Call& c) { return cased(c, false); }

template <const char* const& kOp>
Result<Value> compares(Call& c) {
  NB_OK(c.bind({"other"}, 1));
  return Value::boolean(NB_TRY(compare_by(c.budget(), kOp, c.self, c[0])));
}
constexpr const char *kEq = "==", *kNe = "!=", *kLt = "<", *kLe = "<=", *kGt = ">", *kGe = ">=";

Result<Value> in(Call& c) {
  NB_OK(c.bind({"seq"}, 1));
  return Value::boolean(NB_TRY(contains(c.budget(), c[0], c.self)));
}

Result<Value> sameas(Call& c) {
  NB_OK(c.bind({"other"}, 1));
  bool same = c.self.kind() == c[0].kind() && c.self.object() == c[0].object();
  if (same && c.self.is_number()) same = NB_TRY(equal(c.budget(), c.self, c[0]));
  return Value::boolean(same);
}

Result<Value> filter(Call& c) {
  return answer(c, c.self.is(Kind::kText) && find_filter(c.self.text()));
}
Result<Value> test(Call& c) {
  return answer(c, c.self.is(Kind::kText) && find_test(c.self.text()));
}
Result<Value> escaped(Call& c) { return answer(c, false); }

constexpr Builtin kTests[] = {
    {"defined", defined},
    {"undefined", of_kind<Kind::kUndefined>},
    {"none", of_kind<Kind::kNone>},
    {"boolean", of_kind<Kind::kBool>},
    {"true", is_true},
    {"false", is_false},
    {"integer", of_kind<Kind::kInt>},
    {"float", of_kind<Kind::kFloat>},
    {"number", number},
    {"string", of_kind<Kind::kText>},
    {"mapping", of_kind<Kind::kDict>},
    {"sequence", sequence},
    {"iterable", iterable},
    {"callable", callable},
    {"odd", odd},
    {"even", even},
    {"divisibleby", divisibleby},
    {"lower", lower},
    {"upper", upper},
    {"sameas", sameas},
    {"escaped", escaped},
    {"in", in},
    {"filter", filter},
    {"test", test},
    {"eq", compares<kEq>},
    {"equalto", compares<kEq>},
    {"==", compares<kEq>},
    {"ne", compares<kNe>},
    {"!=", compares<kNe>},
    {"lt", compares<kLt>},
    {"lessthan", compares<kLt>},
    {"<", compares<kLt>},
    {"le", compares<kLe>},
    {"<=", compares<kLe>},
    {"gt", compares<kGt>},
    {"greaterthan", compares<kGt>},
    {">", compares<kGt>},
    {"ge", compares<kGe>},
    {">=", compares<kGe>},
};

}  // namespace

std::span<const Builtin> all_tests() { return kTests; }

}  // namespace nibble::jinja
