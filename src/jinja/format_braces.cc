// "{} and {name}".format(values): Python's new formatting, and its format specifications.
#include <algorithm>
#include <cmath>

#include "jinja/builtins.h"
#include "jinja/print.h"
#include "text/utf8.h"

namespace nibble::jinja {
namespace {

constexpr int64_t kWidest = 1 << 16;

struct Spec {
  std::string fill = " ";
  char align = 0, sign = '-', type = 0, group = 0;
  bool alternate = false, zero = false;
  int64_t width = 0, precision = -1;
};

Result<int64_t> take_number(std::string_view& text) {
  int64_t value = 0;
  while (!text.empty() && text[0] >= '0' && text[0] <= '9') {
    value = value * 10 + (text[0] - '0');
    if (value > kWidest) return fail("a format wider than {}", kWidest);
    text.remove_prefix(1);
  }
  return value;
}

Result<Spec> parse_spec(std::string_view text) {
  Spec s;
  auto take = [&](std::string_view among) {
    if (text.empty() || among.find(text[0]) == among.npos) return char{0};
    char c = text[0];
    text.remove_prefix(1);
    return c;
  };
  size_t first = text.empty() ? 0 : char_length(static_cast<unsigned char>(text[0]));
  if (first < text.size() && std::string_view("<>^=").find(text[first]) != std::string_view::npos) {
    s.fill = text.substr(0, first);
    text.remove_prefix(first);
  }
  s.align = take("<>^=");
  if (char c = take("+- ")) s.sign = c;
  s.alternate = take("#") != 0;
  s.zero = take("0") != 0;
  if (s.zero && !s.align) {
    s.fill = "0";
    s.align = '=';
  }
  s.width = NB_TRY(take_number(text));
  s.group = take(",_");
  if (take(".")) {
    if (text.empty() || text[0] < '0' || text[0] > '9')
      return fail("Format specifier missing precision");
    s.precision = NB_TRY(take_number(text));
  }
  s.type = take("bcdeEfFgGnosxX%");
  if (!text.empty()) return fail("Invalid format specifier");
  return s;
}

// Separators between groups of three digits before the point.
std::string grouped(const std::string& digits, char separator) {
  size_t whole = std::min(digits.find_first_not_of("0123456789"), digits.size());
  std::string out;
  for (size_t i = 0; i < whole; ++i) {
    if (i > 0 && (whole - i) % 3 == 0) out += separator;
    out += digits[i];
  }
  return out + digits.substr(whole);
}

// Sign and prefix in `head`, digits in `body`.
std::string aligned(const Spec& s, const std::string& head, const std::string& body, char align) {
  auto chars = [](const std::string& t) {
    return std::count_if(t.begin(), t.end(), [](char c) { return (c & 0xC0) != 0x80; });
  };
  int64_t missing = std::max<int64_t>(0, s.width - chars(head) - chars(body));
  if (s.align) align = s.align;
  int64_t before = align == '>' ? missing : align == '^' ? missing / 2 : 0;
  std::string out;
  auto pad = [&](int64_t count) {
    for (int64_t i = 0; i < count; ++i) out += s.fill;
  };
  pad(before);
  out += head;
  if (align == '=') pad(missing);
  out += body;
  if (align != '=') pad(missing - before);
  return out;
}

std::string sign_text(const Spec& s, bool negative) {
  return negative ? "-" : s.sign == '+' ? "+" : s.sign == ' ' ? " " : "";
}

Result<std::string> format_integer(const Spec& s, int64_t value) {
  if (s.precision >= 0) return fail("Precision not allowed in integer format specifier");
  uint64_t size = value < 0 ? 0 - static_cast<uint64_t>(value) : static_cast<uint64_t>(value);
  std::string prefix, digits;
  switch (s.type) {
    case 'b':
      digits = fmt::format("{:b}", size);
      prefix = "0b";
      break;
    case 'o':
      digits = fmt::format("{:o}", size);
      prefix = "0o";
      break;
    case 'x':
      digits = fmt::format("{:x}", size);
      prefix = "0x";
      break;
    case 'X':
      digits = fmt::format("{:X}", size);
      prefix = "0X";
      break;
    case 0:
    case 'd':
    case 'n':
      digits = std::to_string(size);
      break;
    default:
      return fail("Unknown format code '{}' for object of type 'int'", s.type);
  }
  if (s.group) digits = grouped(digits, s.group);
  return aligned(s, sign_text(s, value < 0) + (s.alternate ? prefix : ""), digits, '>');
}

Result<std::string> format_real(const Spec& s, double value) {
  bool negative = std::signbit(value) && !std::isnan(value);
  double size = std::fabs(value);
  int64_t precision = s.precision < 0 ? 6 : s.precision;
  if (precision > 400) return fail("a format of more than 400 places");
  std::string digits;
  switch (s.type) {
    case 0:
      digits = s.precision < 0 ? real_text(size)
                               : fmt::format("{:.{}g}", size, std::max<int64_t>(precision, 1));
      break;
    case 'e':
      digits = fmt::format("{:.{}e}", size, precision);
      break;
    case 'E':
      digits = fmt::format("{:.{}E}", size, precision);
      break;
    case 'f':
    case 'F':
      digits = fmt::format("{:.{}f}", size, precision);
      break;
    case 'g':
    case 'n':
      digits = fmt::format("{:.{}g}", size, std::max<int64_t>(precision, 1));
      break;
    case 'G':
      digits = fmt::format("{:.{}G}", size, std::max<int64_t>(precision, 1));
      break;
    case '%':
      digits = fmt::format("{:.{}f}%", size * 100, precision);
      break;
    default:
      return fail("Unknown format code '{}' for object of type 'float'", s.type);
  }
  if (s.group) digits = grouped(digits, s.group);
  return aligned(s, sign_text(s, negative), digits, '>');
}

// The fields of one format text, one after another.
class Braces {
 public:
  Braces(Interpreter& in, const Arguments& arguments) : in_(in), arguments_(arguments) {}

  Result<std::string> run(std::string_view form, int level) {
    if (level > 2) return fail("Max string recursion exceeded");
    std::string out;
    for (size_t at = 0; at < form.size();) {
      char c = form[at];
      if (c != '{' && c != '}') {
        out += c;
        ++at;
        continue;
      }
      if (at + 1 < form.size() && form[at + 1] == c) {
        out += c;
        at += 2;
        continue;
      }
      if (c == '}') return fail("Single '}}' encountered in format string");
      size_t end = closing(form, at + 1);
      if (end == form.npos) return fail("expected '}}' before end of string");
      out += NB_TRY(field(form.substr(at + 1, end - at - 1), level));
      NB_OK(in_.budget().check_output(out.size()));
      NB_OK(in_.budget().work(out.size() / 16));
      at = end + 1;
    }
    return out;
  }

 private:
  static size_t closing(std::string_view form, size_t at) {
    for (int open = 1; at < form.size(); ++at) {
      open += form[at] == '{' ? 1 : form[at] == '}' ? -1 : 0;
      if (open == 0) return at;
    }
    return form.npos;
  }

  Result<std::string> field(std::string_view text, int level) {
    // The name ends at the first of !: outside brackets.
    size_t end = 0;
    for (bool bracket = false; end < text.size(); ++end) {
      if (text[end] == '[') bracket = true;
      if (text[end] == ']') bracket = false;
      if (!bracket && (text[end] == '!' || text[end] == ':')) break;
    }
    Value value = NB_TRY(find(text.substr(0, end)));
    text.remove_prefix(end);
    if (text.starts_with('!')) {
      if (text.size() < 2 || (text.size() > 2 && text[2] != ':'))
        return fail("expected ':' after conversion specifier");
      bool repr = text[1] == 'r' || text[1] == 'a';
      if (!repr && text[1] != 's') return fail("Unknown conversion specifier");
      Budget& budget = in_.budget();
      value = NB_TRY(make_text(
          budget, repr ? NB_TRY(to_repr(budget, value)) : NB_TRY(to_text(budget, value))));
      text.remove_prefix(2);
    }
    std::string spec;
    if (text.starts_with(':')) spec = NB_TRY(run(text.substr(1), level + 1));
    return format_value(in_, value, spec);
  }

  Result<Value> argument(std::string_view name) {
    bool number = !name.empty() && name.find_first_not_of("0123456789") == name.npos;
    if (name.empty() || number) {
      if (name.empty() ? next_ < 0 : next_ > 0)
        return fail("cannot switch between manual and automatic field numbering");
      size_t i = name.empty() ? static_cast<size_t>(next_++)
                              : static_cast<size_t>(NB_TRY(take_number(name)));
      if (number) next_ = -1;
      if (i >= arguments_.positional.size())
        return fail("Replacement index {} out of range for positional args tuple", i);
      return arguments_.positional[i];
    }
    for (const auto& [key, value] : arguments_.named)
      if (key == name) return value;
    return fail("KeyError: '{}'", std::string(name));
  }

  // name, then .attribute and [item] as often as they come.
  Result<Value> find(std::string_view path) {
    size_t end = std::min(path.find_first_of(".["), path.size());
    Value value = NB_TRY(argument(path.substr(0, end)));
    path.remove_prefix(end);
    while (!path.empty()) {
      NB_OK(in_.budget().step());
      bool bracket = path[0] == '[';
      size_t stop = bracket ? path.find(']') : std::min(path.find_first_of(".[", 1), path.size());
      if (stop == path.npos) return fail("Missing ']' in format string");
      std::string_view name = path.substr(1, stop - 1);
      if (name.empty()) return fail("Empty attribute in format string");
      bool number = bracket && name.find_first_not_of("0123456789") == name.npos;
      Value key = number ? Value::integer(NB_TRY(take_number(name)))
                         : NB_TRY(make_text(in_.budget(), std::string(name)));
      value = bracket ? NB_TRY(in_.item(value, key)) : NB_TRY(in_.attribute(value, key.text()));
      path.remove_prefix(bracket ? stop + 1 : stop);
      if (!path.empty() && path[0] != '.' && path[0] != '[')
        return fail("Only '.' or '[' may follow ']' in format field specifier");
    }
    return value;
  }

  Interpreter& in_;
  const Arguments& arguments_;
  int64_t next_ = 0;  // the next automatic number; -1 once numbers are given
};

}  // namespace

Result<std::string> format_value(Interpreter& in, const Value& value, std::string_view spec) {
  if (spec.empty()) return to_text(in.budget(), value);
  Spec s = NB_TRY(parse_spec(spec));
  NB_OK(in.budget().work(static_cast<size_t>(s.width)));
  if (value.is(Kind::kText)) {
    if (s.type && s.type != 's')
      return fail("Unknown format code '{}' for object of type 'str'", s.type);
    if (s.align == '=' && !s.zero)
      return fail("'=' alignment not allowed in string format specifier");
    if (s.zero && s.align == '=') s.align = '<';
    Value cut = value;
    if (s.precision >= 0)
      cut = NB_TRY(slice(in, value, Value::none(), Value::integer(s.precision), Value::none()));
    return aligned(s, "", cut.text(), '<');
  }
  if (!value.is_number())
    return fail("unsupported format string passed to {}.__format__", type_name(value));
  static constexpr std::string_view kReals = "eEfFgG%";
  bool real = value.is(Kind::kFloat) || (s.type && kReals.find(s.type) != kReals.npos);
  return real ? format_real(s, value.to_real()) : format_integer(s, value.to_int());
}

Result<Value> format_braces(Interpreter& in, const std::string& form, const Arguments& arguments) {
  return make_text(in.budget(), NB_TRY(Braces(in, arguments).run(form, 0)));
}

}  // namespace nibble::jinja
