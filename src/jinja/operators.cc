#include <cmath>

#include "jinja/builtins.h"
#include "jinja/interpreter.h"
#include "text/utf8.h"

namespace nibble::jinja {
namespace {

std::unexpected<Error> no_operator(const std::string& op, const Value& a, const Value& b) {
  return fail("unsupported operand type(s) for {}: '{}' and '{}'", op, type_name(a), type_name(b));
}

Result<Value> integer_power(int64_t base, int64_t exponent) {
  if (exponent < 0) {
    if (base == 0) return fail("0.0 cannot be raised to a negative power");
    return Value::real(std::pow(static_cast<double>(base), static_cast<double>(exponent)));
  }
  if (base == 0 || base == 1) return Value::integer(exponent == 0 ? 1 : base);
  if (base == -1) return Value::integer(exponent % 2 ? -1 : 1);
  int64_t result = 1;
  for (int64_t i = 0; i < exponent; ++i)
    if (__builtin_mul_overflow(result, base, &result)) return fail("a whole number leaves 64 bits");
  return Value::integer(result);
}

Result<Value> integers(const std::string& op, int64_t a, int64_t b) {
  int64_t r = 0;
  if (op == "**") return integer_power(a, b);
  bool divides = op == "/" || op == "//" || op == "%";
  if (divides && b == 0) return fail("division by zero");
  if (op == "/") return Value::real(static_cast<double>(a) / static_cast<double>(b));
  bool over = op == "+"   ? __builtin_add_overflow(a, b, &r)
              : op == "-" ? __builtin_sub_overflow(a, b, &r)
              : op == "*" ? __builtin_mul_overflow(a, b, &r)
                          : a == INT64_MIN && b == -1;
  if (over) return fail("a whole number leaves 64 bits");
  if (!divides) return Value::integer(r);
  // Python rounds down and gives the remainder the divisor's sign.
  int64_t quotient = a / b, rest = a % b;
  if (rest != 0 && (rest < 0) != (b < 0)) {
    --quotient;
    rest += b;
  }
  return Value::integer(op == "//" ? quotient : rest);
}

Result<Value> reals(const std::string& op, double a, double b) {
  if (op == "+") return Value::real(a + b);
  if (op == "-") return Value::real(a - b);
  if (op == "*") return Value::real(a * b);
  if (op == "**") {
    if (a < 0 && b != std::floor(b)) return fail("a power that is no real number");
    double r = std::pow(a, b);
    if (std::isinf(r) && std::isfinite(a) && std::isfinite(b)) return fail("a power out of range");
    return Value::real(r);
  }
  if (b == 0) return fail("division by zero");
  if (op == "/") return Value::real(a / b);
  double rest = std::fmod(a, b);
  if (rest != 0 && (rest < 0) != (b < 0)) rest += b;
  if (op == "%") return Value::real(rest);
  return Value::real(std::floor((a - rest) / b + 0.5));
}

Result<Value> repeat(Interpreter& in, const Value& what, int64_t times) {
  times = std::max<int64_t>(times, 0);
  int64_t length = what.is(Kind::kText) ? static_cast<int64_t>(what.text().size())
                                        : static_cast<int64_t>(what.sequence().items.size());
  int64_t total = 0;
  constexpr int64_t kMost = 1 << 26;
  if (__builtin_mul_overflow(length, times, &total) || total > kMost)
    return fail("a repetition of more than {} items", kMost);
  NB_OK(in.budget().step(total / 8));
  if (what.is(Kind::kText)) {
    std::string out;
    for (int64_t i = 0; length > 0 && i < times; ++i) out += what.text();
    return make_text(in.budget(), std::move(out));
  }
  std::vector<Value> items;
  for (int64_t i = 0; length > 0 && i < times; ++i)
    items.insert(items.end(), what.sequence().items.begin(), what.sequence().items.end());
  return make_sequence(in.budget(), what.kind(), std::move(items));
}

Result<Value> joined(Interpreter& in, const Value& a, const Value& b) {
  if (a.is(Kind::kText) && b.is(Kind::kText)) {
    NB_OK(in.budget().check_output(a.text().size() + b.text().size()));
    return make_text(in.budget(), a.text() + b.text());
  }
  if (a.is(Kind::kText)) return fail("can only concatenate str (not \"{}\") to str", type_name(b));
  bool lists = a.kind() == b.kind() && (a.is(Kind::kList) || a.is(Kind::kTuple));
  if (!lists) return no_operator("+", a, b);
  std::vector<Value> items = a.sequence().items;
  items.insert(items.end(), b.sequence().items.begin(), b.sequence().items.end());
  return make_sequence(in.budget(), a.kind(), std::move(items));
}

// A slice's bound as a whole number; nothing for none.
Result<std::optional<int64_t>> bound(const Value& v) {
  if (v.is(Kind::kNone)) return std::nullopt;
  if (v.is_integer()) return v.to_int();
  return fail("slice indices must be integers or None");
}

// Where each character of the text begins, and its end.
std::vector<size_t> char_starts(const std::string& text) {
  std::vector<size_t> starts;
  for (size_t at = 0; at < text.size(); at += char_length(static_cast<unsigned char>(text[at])))
    starts.push_back(at);
  starts.push_back(text.size());
  return starts;
}

}  // namespace

Result<Value> arithmetic(Interpreter& in, const std::string& op, const Value& a, const Value& b) {
  for (const Value* v : {&a, &b})
    if (v->is(Kind::kUndefined) && !(op == "%" && a.is(Kind::kText)))
      return fail("{}", why_undefined(*v));
  if (op == "%" && a.is(Kind::kText)) return format_percent(in, a.text(), b);
  if (a.is_integer() && b.is_integer()) return integers(op, a.to_int(), b.to_int());
  if (a.is_number() && b.is_number()) return reals(op, a.to_real(), b.to_real());
  if (op == "+") return joined(in, a, b);
  auto repeats = [](const Value& v) {
    return v.is(Kind::kText) || v.is(Kind::kList) || v.is(Kind::kTuple);
  };
  if (op == "*" && repeats(a) && b.is_integer()) return repeat(in, a, b.to_int());
  if (op == "*" && a.is_integer() && repeats(b)) return repeat(in, b, a.to_int());
  return no_operator(op, a, b);
}

Result<Value> negate(const Value& a, bool negative) {
  if (a.is(Kind::kUndefined)) return fail("{}", why_undefined(a));
  if (!a.is_number())
    return fail("bad operand type for unary {}: '{}'", negative ? "-" : "+", type_name(a));
  if (a.is(Kind::kFloat)) return Value::real(negative ? -a.to_real() : a.to_real());
  if (negative && a.to_int() == INT64_MIN) return fail("a whole number leaves 64 bits");
  return Value::integer(negative ? -a.to_int() : a.to_int());
}

Result<Value> slice(Interpreter& in, const Value& object, const Value& start, const Value& stop,
                    const Value& step) {
  if (object.is(Kind::kUndefined)) return fail("{}", why_undefined(object));
  bool text = object.is(Kind::kText);
  if (!text && !object.is(Kind::kList) && !object.is(Kind::kTuple) && !object.is(Kind::kRange))
    return make_undefined(fmt::format("'{} object' has no element of a slice", type_name(object)));
  int64_t by = NB_TRY(bound(step)).value_or(1), count = NB_TRY(length_of(object));
  if (by == 0) return fail("slice step cannot be zero");
  auto place = [&](std::optional<int64_t> given, int64_t otherwise) {
    if (!given) return otherwise;
    int64_t at = *given < 0 ? *given + count : *given;
    return std::clamp<int64_t>(at, by > 0 ? 0 : -1, by > 0 ? count : count - 1);
  };
  int64_t from = place(NB_TRY(bound(start)), by > 0 ? 0 : count - 1);
  int64_t to = place(NB_TRY(bound(stop)), by > 0 ? count : -1);
  std::vector<int64_t> places;
  for (int64_t at = from; by > 0 ? at < to : at > to;) {
    places.push_back(at);
    if (__builtin_add_overflow(at, by, &at)) break;
  }
  NB_OK(in.budget().step(static_cast<int64_t>(places.size()) / 8));
  if (!text) {
    std::vector<Value> items;
    for (int64_t at : places) items.push_back(object.sequence().items[static_cast<size_t>(at)]);
    return make_sequence(in.budget(), object.is(Kind::kTuple) ? Kind::kTuple : Kind::kList,
                         std::move(items));
  }
  const std::string& bytes = object.text();
  NB_OK(in.budget().work(bytes.size()));
  std::string out;
  if (object.text_object().ascii()) {
    for (int64_t at : places) out += bytes[static_cast<size_t>(at)];
  } else {
    std::vector<size_t> starts = char_starts(bytes);
    for (int64_t at : places) {
      auto i = static_cast<size_t>(at);
      out.append(bytes, starts[i], starts[i + 1] - starts[i]);
    }
  }
  return make_text(in.budget(), std::move(out));
}

}  // namespace nibble::jinja
