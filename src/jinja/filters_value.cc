// Filters on single values: default, numbers, JSON.
#include <charconv>
#include <cmath>

#include "jinja/builtins.h"
#include "jinja/print.h"
#include "text/python_text.h"

namespace nibble::jinja {
namespace {

Result<Value> default_value(Call& c) {
  NB_OK(c.bind({"default_value", "boolean"}));
  bool replaced = c.self.is(Kind::kUndefined) || (c.flag(1) && !truth(c.self));
  if (!replaced) return c.self;
  return c.has(0) ? c[0] : NB_TRY(c.made(""));
}

// Python's int(text, base): sign, digits with single underscores, white space around.
std::optional<int64_t> parse_integer(std::string_view text, int base) {
  text = python_strip(text);
  bool negative = text.starts_with('-');
  if (negative || text.starts_with('+')) text.remove_prefix(1);
  if (base == 16 && (text.starts_with("0x") || text.starts_with("0X"))) text.remove_prefix(2);
  if (base == 2 && (text.starts_with("0b") || text.starts_with("0B"))) text.remove_prefix(2);
  if (base == 8 && (text.starts_with("0o") || text.starts_with("0O"))) text.remove_prefix(2);
  std::string digits = negative ? "-" : "";
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '_' && i > 0 && i + 1 < text.size() && text[i - 1] != '_') continue;
    if (text[i] == '-' || text[i] == '+') return std::nullopt;
    digits += text[i];
  }
  int64_t value = 0;
  const char *begin = digits.data(), *end = begin + digits.size();
  auto [stop, error] = std::from_chars(begin, end, value, base);
  if (error != std::errc() || stop != end) return std::nullopt;
  return value;
}

std::optional<double> parse_real(std::string_view text) {
  std::string trimmed(python_strip(text));
  if (trimmed.find_first_of("xXpP") != trimmed.npos || trimmed.empty()) return std::nullopt;
  char* stop = nullptr;
  double value = std::strtod(trimmed.c_str(), &stop);
  if (*stop) return std::nullopt;
  return value;
}

std::optional<int64_t> whole(double value) {
  if (!(std::fabs(value) < 9.2e18)) return std::nullopt;
  return static_cast<int64_t>(value);
}

Result<Value> int_value(Call& c) {
  NB_OK(c.bind({"default", "base"}));
  Value otherwise = c.value_or(0, Value::integer(0));
  int64_t base = NB_TRY(c.integer_or(1, 10));
  if (c.self.is_integer()) return Value::integer(c.self.to_int());
  std::optional<int64_t> value;
  if (c.self.is(Kind::kFloat)) value = whole(c.self.to_real());
  if (c.self.is(Kind::kText) && base >= 2 && base <= 36) {
    value = parse_integer(c.self.text(), static_cast<int>(base));
    if (auto real = parse_real(c.self.text()); !value && real) value = whole(*real);
  }
  return value ? Value::integer(*value) : otherwise;
}

Result<Value> float_value(Call& c) {
  NB_OK(c.bind({"default"}));
  if (c.self.is_number()) return Value::real(c.self.to_real());
  if (c.self.is(Kind::kText))
    if (auto value = parse_real(c.self.text())) return Value::real(*value);
  return c.value_or(0, Value::real(0));
}

Result<Value> abs_value(Call& c) {
  NB_OK(c.bind({}));
  bool negative = c.self.is_number() && c.self.to_real() < 0;
  return negate(c.self, negative);
}

// Half to even of the decimal value, as Python rounds; "ceil" and "floor" as their names say.
Result<Value> round(Call& c) {
  NB_OK(c.bind({"precision", "method"}));
  int64_t places = NB_TRY(c.integer_or(0, 0));
  std::string method = NB_TRY(c.text_or(1, "common"));
  if (method != "common" && method != "ceil" && method != "floor")
    return fail("method must be common, ceil or floor");
  if (!c.self.is_number())
    return fail("type {} doesn't define __round__ method", type_name(c.self));
  if (places < -300 || places > 300) return fail("round() to {} places", places);
  double value = c.self.to_real(), scale = std::pow(10.0, static_cast<double>(places));
  if (method == "ceil") return Value::real(std::ceil(value * scale) / scale);
  if (method == "floor") return Value::real(std::floor(value * scale) / scale);
  if (c.self.is_integer() && places >= 0) return Value::integer(c.self.to_int());
  if (places < 0) {
    double rounded = std::nearbyint(value * scale) / scale;
    return c.self.is_integer() ? Value::integer(static_cast<int64_t>(rounded))
                               : Value::real(rounded);
  }
  if (!std::isfinite(value)) return Value::real(value);
  std::string digits = fmt::format("{:.{}f}", value, places);  // rounds the exact binary value
  return Value::real(std::strtod(digits.c_str(), nullptr));
}

Result<Value> tojson(Call& c) {
  NB_OK(c.bind({"ensure_ascii", "indent", "separators", "sort_keys"}));
  JsonStyle style;
  style.ensure_ascii = c.flag(0);
  style.sort_keys = c.flag(3);
  if (c.has(1) && c[1].is(Kind::kText)) style.indent = c[1].text();
  if (c.has(1) && c[1].is_integer()) {
    if (c[1].to_int() > 256) return fail("tojson() with an indent above 256");
    style.indent = std::string(static_cast<size_t>(std::max<int64_t>(c[1].to_int(), 0)), ' ');
  }
  if (style.indent) style.item_separator = ",";
  if (c.has(2) && !c[2].is(Kind::kNone)) {
    std::vector<Value> pair = NB_TRY(iterate(c.budget(), c[2]));
    if (pair.size() != 2 || !pair[0].is(Kind::kText) || !pair[1].is(Kind::kText))
      return fail("tojson() wants two separators");
    style.item_separator = pair[0].text();
    style.key_separator = pair[1].text();
  }
  return c.made(NB_TRY(to_json(c.budget(), c.self, style)));
}

Result<Value> attr(Call& c) {
  NB_OK(c.bind({"name"}, 1));
  if (!c.self.is(Kind::kDict)) return c.in.attribute(c.self, NB_TRY(c.text(0)));
  // On a dict the filter sees Python's attributes alone, never the items.
  std::string name = NB_TRY(c.text(0));
  if (find_method(c.self, name)) return c.in.attribute(c.self, name);
  return make_undefined(fmt::format("'dict object' has no attribute '{}'", name));
}

constexpr Builtin kFilters[] = {
    {"default", default_value}, {"d", default_value}, {"int", int_value}, {"float", float_value},
    {"abs", abs_value},         {"round", round},     {"tojson", tojson}, {"attr", attr},
};

}  // namespace

std::span<const Builtin> value_filters() { return kFilters; }

}  // namespace nibble::jinja
