#include "jinja/print.h"

#include <utf8proc.h>

#include <charconv>
#include <cmath>

#include "text/utf8.h"

namespace nibble::jinja {
namespace {

// As Python's str.isprintable has it; repr escapes the rest.
bool is_printable(char32_t c) {
  if (c == U' ') return true;
  switch (utf8proc_category(static_cast<utf8proc_int32_t>(c))) {
    case UTF8PROC_CATEGORY_CN:
    case UTF8PROC_CATEGORY_CC:
    case UTF8PROC_CATEGORY_CF:
    case UTF8PROC_CATEGORY_CS:
    case UTF8PROC_CATEGORY_CO:
    case UTF8PROC_CATEGORY_ZS:
    case UTF8PROC_CATEGORY_ZL:
    case UTF8PROC_CATEGORY_ZP:
      return false;
    default:
      return true;
  }
}

std::string repr_text(const std::string& text) {
  bool single = text.find('\'') != text.npos, twice = text.find('"') != text.npos;
  char quote = single && !twice ? '"' : '\'';
  std::string out(1, quote);
  for (size_t at = 0; at < text.size();) {
    size_t length = char_length(static_cast<unsigned char>(text[at]));
    char32_t c = char_at(text.data() + at);
    auto code = static_cast<uint32_t>(c);
    if (c == '\n')
      out += "\\n";
    else if (c == '\r')
      out += "\\r";
    else if (c == '\t')
      out += "\\t";
    else if (c == '\\' || c == static_cast<char32_t>(quote))
      out += {'\\', static_cast<char>(c)};
    else if (is_printable(c))
      out.append(text, at, length);
    else
      out += code < 0x100     ? fmt::format("\\x{:02x}", code)
             : code < 0x10000 ? fmt::format("\\u{:04x}", code)
                              : fmt::format("\\U{:08x}", code);
    at += length;
  }
  return out + quote;
}

// Appends to one text while what it costs is counted.
class Writer {
 public:
  explicit Writer(Budget& budget) : budget_(budget) {}

  Status repr(const Value& v) {
    Nested nested(budget_);
    NB_OK(nested.status);
    NB_OK(budget_.step());
    NB_OK(budget_.check_output(out.size()));
    switch (v.kind()) {
      case Kind::kText:
        NB_OK(budget_.work(v.text().size()));
        out += repr_text(v.text());
        return {};
      case Kind::kList:
        return repr_items(v, "[", "]");
      case Kind::kTuple:
        return repr_items(v, "(", v.sequence().items.size() == 1 ? ",)" : ")");
      case Kind::kView:
        out += v.sequence().name;
        return repr_items(v, "([", "])");
      case Kind::kDict:
        return repr_dict(v.dict());
      case Kind::kNamespace:
        out += "<Namespace ";
        NB_OK(repr_dict(v.dict()));
        out += '>';
        return {};
      default:
        out += plain(v);
        return {};
    }
  }

  std::string out;

 private:
  static std::string plain(const Value& v) {
    switch (v.kind()) {
      case Kind::kUndefined:
        return "Undefined";
      case Kind::kNone:
        return "None";
      case Kind::kBool:
        return v.to_int() ? "True" : "False";
      case Kind::kInt:
        return std::to_string(v.to_int());
      case Kind::kFloat:
        return real_text(v.to_real());
      case Kind::kRange: {
        const Sequence& r = v.sequence();
        return r.step == 1 ? fmt::format("range({}, {})", r.start, r.stop)
                           : fmt::format("range({}, {}, {})", r.start, r.stop, r.step);
      }
      default:
        return fmt::format("<{}>", type_name(v));
    }
  }
  Status repr_items(const Value& v, const char* open, const char* close) {
    out += open;
    const char* comma = "";
    for (const Value& item : v.sequence().items) {
      out += std::exchange(comma, ", ");
      NB_OK(repr(item));
    }
    out += close;
    return {};
  }
  Status repr_dict(const Dict& dict) {
    out += '{';
    const char* comma = "";
    for (const auto& [key, value] : dict.entries) {
      out += std::exchange(comma, ", ");
      NB_OK(repr(key));
      out += ": ";
      NB_OK(repr(value));
    }
    out += '}';
    return {};
  }

  Budget& budget_;
};

}  // namespace

std::string real_text(double value) {
  if (std::isnan(value)) return "nan";
  if (std::isinf(value)) return value < 0 ? "-inf" : "inf";
  auto shortest = [value](std::chars_format form) {
    char digits[64];
    return std::string(digits, std::to_chars(digits, digits + sizeof digits, value, form).ptr);
  };
  std::string text = shortest(std::chars_format::scientific);
  int exponent = 0;
  std::from_chars(text.data() + text.find('e') + (text.find('+') == text.npos ? 1 : 2),
                  text.data() + text.size(), exponent);
  if (exponent < -4 || exponent >= 16) return text;
  text = shortest(std::chars_format::fixed);
  return text.find('.') == text.npos ? text + ".0" : text;
}

Result<std::string> to_repr(Budget& budget, const Value& value) {
  Writer writer(budget);
  NB_OK(writer.repr(value));
  return std::move(writer.out);
}

Result<std::string> to_text(Budget& budget, const Value& value) {
  if (value.is(Kind::kUndefined)) return std::string();
  if (value.is(Kind::kText)) {
    NB_OK(budget.work(value.text().size()));
    return value.text();
  }
  return to_repr(budget, value);
}

}  // namespace nibble::jinja
