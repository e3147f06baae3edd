// json.dumps of Python's standard library, which transformers makes the filter tojson of.
#include <algorithm>
#include <cmath>

#include "jinja/print.h"
#include "text/utf8.h"

namespace nibble::jinja {
namespace {

void append_escaped(const std::string& text, bool ensure_ascii, std::string& out) {
  out += '"';
  for (size_t at = 0; at < text.size();) {
    size_t length = char_length(static_cast<unsigned char>(text[at]));
    char32_t c = char_at(text.data() + at);
    auto code = static_cast<uint32_t>(c);
    if (c == '"' || c == '\\')
      out += {'\\', static_cast<char>(c)};
    else if (c == '\n')
      out += "\\n";
    else if (c == '\r')
      out += "\\r";
    else if (c == '\t')
      out += "\\t";
    else if (c == '\b')
      out += "\\b";
    else if (c == '\f')
      out += "\\f";
    else if (code < 0x20 || (ensure_ascii && code >= 0x7F && code < 0x10000))
      out += fmt::format("\\u{:04x}", code);
    else if (ensure_ascii && code >= 0x10000)
      out += fmt::format("\\u{:04x}\\u{:04x}", 0xD800 + ((code - 0x10000) >> 10),
                         0xDC00 + ((code - 0x10000) & 0x3FF));
    else
      out.append(text, at, length);
    at += length;
  }
  out += '"';
}

std::string json_real(double v) {
  if (std::isnan(v)) return "NaN";
  if (std::isinf(v)) return v < 0 ? "-Infinity" : "Infinity";
  return real_text(v);
}

// Python's keys that JSON can spell.
Result<std::string> key_text(const Value& key) {
  switch (key.kind()) {
    case Kind::kText:
      return key.text();
    case Kind::kNone:
      return std::string("null");
    case Kind::kBool:
      return std::string(key.to_int() ? "true" : "false");
    case Kind::kInt:
      return std::to_string(key.to_int());
    case Kind::kFloat:
      return json_real(key.to_real());
    default:
      return fail("keys must be str, int, float, bool or None, not {}", type_name(key));
  }
}

class JsonWriter {
 public:
  JsonWriter(Budget& budget, const JsonStyle& style) : budget_(budget), style_(style) {}

  Status write(const Value& v, size_t level) {
    Nested nested(budget_);
    NB_OK(nested.status);
    NB_OK(budget_.step());
    NB_OK(budget_.check_output(out.size()));
    switch (v.kind()) {
      case Kind::kNone:
        out += "null";
        return {};
      case Kind::kBool:
        out += v.to_int() ? "true" : "false";
        return {};
      case Kind::kInt:
        out += std::to_string(v.to_int());
        return {};
      case Kind::kFloat:
        out += json_real(v.to_real());
        return {};
      case Kind::kText:
        NB_OK(budget_.work(v.text().size()));
        append_escaped(v.text(), style_.ensure_ascii, out);
        return {};
      case Kind::kList:
      case Kind::kTuple:
        return write_list(v.sequence(), level);
      case Kind::kDict:
        return write_dict(v.dict(), level);
      default:
        return fail("Object of type {} is not JSON serializable", type_name(v));
    }
  }

  std::string out;

 private:
  void line(size_t level) {
    if (!style_.indent) return;
    out += '\n';
    for (size_t i = 0; i < level; ++i) out += *style_.indent;
  }
  Status write_list(const Sequence& list, size_t level) {
    if (list.items.empty()) {
      out += "[]";
      return {};
    }
    out += '[';
    for (size_t i = 0; i < list.items.size(); ++i) {
      if (i > 0) out += style_.item_separator;
      line(level + 1);
      NB_OK(write(list.items[i], level + 1));
    }
    line(level);
    out += ']';
    return {};
  }
  Status write_dict(const Dict& dict, size_t level) {
    if (dict.entries.empty()) {
      out += "{}";
      return {};
    }
    std::vector<std::pair<std::string, const Value*>> members;
    for (const auto& [key, value] : dict.entries)
      members.emplace_back(NB_TRY(key_text(key)), &value);
    if (style_.sort_keys)
      std::sort(members.begin(), members.end(),
                [](const auto& a, const auto& b) { return a.first < b.first; });
    out += '{';
    for (size_t i = 0; i < members.size(); ++i) {
      if (i > 0) out += style_.item_separator;
      line(level + 1);
      append_escaped(members[i].first, style_.ensure_ascii, out);
      out += style_.key_separator;
      NB_OK(write(*members[i].second, level + 1));
    }
    line(level);
    out += '}';
    return {};
  }

  Budget& budget_;
  const JsonStyle& style_;
};

}  // namespace

Result<std::string> to_json(Budget& budget, const Value& value, const JsonStyle& style) {
  JsonWriter writer(budget, style);
  NB_OK(writer.write(value, 0));
  return std::move(writer.out);
}

}  // namespace nibble::jinja
