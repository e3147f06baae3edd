// "%s and %d" % values: Python's old formatting.
#include <cmath>

#include "jinja/builtins.h"
#include "jinja/print.h"
#include "text/utf8.h"

namespace nibble::jinja {
namespace {

constexpr int64_t kWidest = 1 << 16;

// One %-conversion, as it is read.
struct Conversion {
  std::string key;
  bool has_key = false, left = false, plus = false, space = false, zero = false, other = false;
  int64_t width = 0, precision = -1;
  char type = 0;
};

class Percent {
 public:
  Percent(Interpreter& in, const std::string& form, const Value& values)
      : in_(in), form_(form), values_(values) {}

  Result<Value> run() {
    std::string out;
    while (at_ < form_.size()) {
      char c = form_[at_++];
      if (c != '%') {
        out += c;
        continue;
      }
      Conversion how = NB_TRY(conversion());
      out += how.type == '%' ? "%" : NB_TRY(one(how));
      NB_OK(in_.budget().check_output(out.size()));
      NB_OK(in_.budget().work(static_cast<size_t>(how.width)));
    }
    bool tuple = values_.is(Kind::kTuple), mapping = values_.is(Kind::kDict);
    size_t given = tuple ? values_.sequence().items.size() : 1;
    if (!mapping && !keyed_ && used_ < given)
      return fail("not all arguments converted during string formatting");
    return make_text(in_.budget(), std::move(out));
  }

 private:
  Result<int64_t> number() {
    int64_t value = 0;
    if (at_ < form_.size() && form_[at_] == '*') {
      ++at_;
      Value v = NB_TRY(next_value());
      if (!v.is_integer()) return fail("* wants int");
      value = v.to_int();
    }
    for (; at_ < form_.size() && form_[at_] >= '0' && form_[at_] <= '9' && value <= kWidest; ++at_)
      value = value * 10 + (form_[at_] - '0');
    if (value < 0 || value > kWidest) return fail("a format wider than {}", kWidest);
    return value;
  }

  Result<Conversion> conversion() {
    Conversion how;
    if (at_ < form_.size() && form_[at_] == '(') {
      size_t end = form_.find(')', at_);
      if (end == form_.npos) return fail("incomplete format key");
      how.key = form_.substr(at_ + 1, end - at_ - 1);
      how.has_key = keyed_ = true;
      at_ = end + 1;
    }
    for (; at_ < form_.size(); ++at_) {
      char c = form_[at_];
      if (c == '-')
        how.left = true;
      else if (c == '+')
        how.plus = true;
      else if (c == ' ')
        how.space = true;
      else if (c == '0')
        how.zero = true;
      else if (c == '#')
        how.other = true;
      else
        break;
    }
    how.width = NB_TRY(number());
    if (at_ < form_.size() && form_[at_] == '.') {
      ++at_;
      how.precision = NB_TRY(number());
    }
    while (at_ < form_.size() && (form_[at_] == 'l' || form_[at_] == 'h' || form_[at_] == 'L'))
      ++at_;
    if (at_ >= form_.size()) return fail("incomplete format");
    how.type = form_[at_++];
    return how;
  }

  Result<Value> next_value() {
    bool tuple = values_.is(Kind::kTuple);
    size_t given = tuple ? values_.sequence().items.size() : 1;
    if (used_ >= given) return fail("not enough arguments for format string");
    size_t i = used_++;
    return tuple ? values_.sequence().items[i] : values_;
  }

  Result<std::string> one(const Conversion& how) {
    Value value;
    if (how.has_key) {
      if (!values_.is(Kind::kDict)) return fail("format requires a mapping");
      const Value* found = values_.dict().find(how.key);
      if (!found) return fail("KeyError: '{}'", how.key);
      value = *found;
    } else {
      value = NB_TRY(next_value());
    }
    std::string spec;
    switch (how.type) {
      case 's':
      case 'r':
      case 'a': {
        Budget& budget = in_.budget();
        Value text = NB_TRY(make_text(budget, how.type == 's' ? NB_TRY(to_text(budget, value))
                                                              : NB_TRY(to_repr(budget, value))));
        spec = how.left ? "<" : ">";
        if (how.width) spec += std::to_string(how.width);
        if (how.precision >= 0) spec += "." + std::to_string(how.precision);
        return format_value(in_, text, spec);
      }
      case 'c': {
        std::string out;
        if (value.is(Kind::kText) && value.text_object().chars == 1) return value.text();
        bool good = value.is_integer() && value.to_int() >= 0 && value.to_int() <= 0x10FFFF &&
                    !(value.to_int() >= 0xD800 && value.to_int() < 0xE000);
        if (!good) return fail("%c requires int or char");
        append_char(out, static_cast<char32_t>(value.to_int()));
        return out;
      }
      default:
        return numeric(how, value);
    }
  }

  Result<std::string> numeric(const Conversion& how, Value value) {
    static constexpr std::string_view kIntegers = "diuxXo", kReals = "eEfFgG";
    bool integer = kIntegers.find(how.type) != kIntegers.npos;
    if (!integer && kReals.find(how.type) == kReals.npos)
      return fail("unsupported format character '{}'",
                  how.type >= ' ' && how.type < 0x7F ? how.type : '?');
    if (!value.is_number())
      return fail("%{} format: a real number is required, not {}", how.type, type_name(value));
    if (integer && value.is(Kind::kFloat)) {
      bool decimal = how.type == 'd' || how.type == 'i' || how.type == 'u';
      if (!decimal || !(std::fabs(value.to_real()) < 9e18))
        return fail("%{} format: an integer is required, not float", how.type);
      value = Value::integer(static_cast<int64_t>(value.to_real()));
    }
    if (integer && how.precision >= 0) return fail("%{} with a precision is not known", how.type);
    std::string spec = how.left ? "<" : how.zero ? "" : ">";
    spec += how.plus ? "+" : how.space ? " " : "";
    if (how.other) spec += "#";
    if (how.zero && !how.left) spec += "0";
    if (how.width) spec += std::to_string(how.width);
    if (!integer) spec += "." + std::to_string(how.precision < 0 ? 6 : how.precision);
    char type = how.type == 'i' || how.type == 'u' ? 'd' : how.type;
    if (value.is_integer())
      value = integer ? Value::integer(value.to_int()) : Value::real(value.to_real());
    return format_value(in_, value, spec + type);
  }

  Interpreter& in_;
  const std::string& form_;
  const Value& values_;
  size_t at_ = 0, used_ = 0;
  bool keyed_ = false;
};

}  // namespace

Result<Value> format_percent(Interpreter& in, const std::string& form, const Value& values) {
  return Percent(in, form, values).run();
}

}  // namespace nibble::jinja
