// Python's methods of str that look at text or cut it into parts.
#include <algorithm>

#include "jinja/builtins.h"
#include "jinja/compare.h"
#include "text/python_text.h"
#include "text/utf8.h"

namespace nibble::jinja {
namespace {

using Parts = std::vector<std::string_view>;

Result<Value> list_of(Call& c, const Parts& parts, Kind kind = Kind::kList) {
  std::vector<Value> items;
  for (std::string_view part : parts) items.push_back(NB_TRY(c.made(std::string(part))));
  return make_sequence(c.budget(), kind, std::move(items));
}

size_t next_space(std::string_view text, size_t at) {
  while (at < text.size() && !is_python_space(char_at(text.data() + at)))
    at += char_length(static_cast<unsigned char>(text[at]));
  return at;
}
size_t last_space(std::string_view text) {
  for (size_t end = text.size(); end > 0;) {
    size_t begin = end - 1;
    while ((text[begin] & 0xC0) == 0x80) --begin;
    if (is_python_space(char_at(text.data() + begin))) return end;
    end = begin;
  }
  return 0;
}

// Runs of white space part the words; none is empty.
Parts split_words(std::string_view text, int64_t most, bool from_right) {
  Parts out;
  text = from_right ? python_rstrip(text) : python_lstrip(text);
  while (!text.empty()) {
    if (most-- == 0) {
      out.push_back(text);
      break;
    }
    size_t cut = from_right ? last_space(text) : next_space(text, 0);
    out.push_back(from_right ? text.substr(cut) : text.substr(0, cut));
    text = from_right ? python_rstrip(text.substr(0, cut)) : python_lstrip(text.substr(cut));
  }
  return out;
}

size_t find_last(std::string_view text, std::string_view part) { return text.rfind(part); }

Result<Parts> split_at(Call& c, std::string_view text, std::string_view separator, int64_t most,
                       bool from_right) {
  Parts out;
  for (; most != 0; --most) {
    size_t at = from_right ? find_last(text, separator) : find_text(text, separator);
    if (at == text.npos) break;
    std::string_view before = text.substr(0, at), after = text.substr(at + separator.size());
    out.push_back(from_right ? after : before);
    text = from_right ? before : after;
    NB_OK(c.budget().step());
  }
  out.push_back(text);
  return out;
}

Result<Value> splitting(Call& c, bool from_right) {
  NB_OK(c.bind({"sep", "maxsplit"}));
  int64_t most = NB_TRY(c.integer_or(1, -1));
  std::string_view text = c.self.text();
  NB_OK(c.budget().work(text.size()));
  Parts parts;
  if (!c.has(0) || c[0].is(Kind::kNone)) {
    parts = split_words(text, most, from_right);
  } else {
    std::string separator = NB_TRY(c.text(0));
    if (separator.empty()) return fail("empty separator");
    if (from_right)
      NB_OK(c.budget().step(static_cast<int64_t>(text.size() * separator.size() / 64)));
    parts = NB_TRY(split_at(c, text, separator, most, from_right));
  }
  if (from_right) std::reverse(parts.begin(), parts.end());
  return list_of(c, parts);
}
Result<Value> split(Call& c) { return splitting(c, false); }
Result<Value> rsplit(Call& c) { return splitting(c, true); }

// Python's line breaks are more than \n.
Result<Value> splitlines(Call& c) {
  NB_OK(c.bind({"keepends"}));
  std::string_view text = c.self.text();
  NB_OK(c.budget().work(text.size()));
  Parts out;
  size_t begin = 0;
  for (size_t at = 0; at < text.size();) {
    char32_t ch = char_at(text.data() + at);
    size_t end = at + char_length(static_cast<unsigned char>(text[at]));
    bool breaks = (ch >= 0x0A && ch <= 0x0D) || (ch >= 0x1C && ch <= 0x1E) || ch == 0x85 ||
                  ch == 0x2028 || ch == 0x2029;
    if (ch == '\r' && end < text.size() && text[end] == '\n') ++end;
    if (breaks) {
      out.push_back(text.substr(begin, (c.flag(0) ? end : at) - begin));
      begin = end;
    }
    at = end;
  }
  if (begin < text.size()) out.push_back(text.substr(begin));
  return list_of(c, out);
}

Result<Value> partition_at(Call& c, bool last) {
  NB_OK(c.bind({"sep"}, 1));
  std::string separator = NB_TRY(c.text(0));
  if (separator.empty()) return fail("empty separator");
  std::string_view text = c.self.text();
  NB_OK(c.budget().step(static_cast<int64_t>(text.size() * separator.size() / 64)));
  size_t at = last ? find_last(text, separator) : find_text(text, separator);
  if (at == text.npos)
    return list_of(c, last ? Parts{"", "", text} : Parts{text, "", ""}, Kind::kTuple);
  return list_of(c, {text.substr(0, at), separator, text.substr(at + separator.size())},
                 Kind::kTuple);
}
Result<Value> partition(Call& c) { return partition_at(c, false); }
Result<Value> rpartition(Call& c) { return partition_at(c, true); }

// The part of the text between the optional bounds `first` and `first + 1`; where it begins.
Result<std::pair<std::string_view, int64_t>> window(Call& c, size_t first) {
  std::string_view text = c.self.text();
  int64_t count = c.self.text_object().chars;
  auto place = [&](size_t i, int64_t otherwise) -> Result<int64_t> {
    if (!c.has(i) || c[i].is(Kind::kNone)) return otherwise;
    int64_t at = NB_TRY(c.integer(i));
    return at < 0 ? std::max<int64_t>(at + count, 0) : at;
  };
  int64_t from = NB_TRY(place(first, 0)), to = std::min(NB_TRY(place(first + 1, count)), count);
  NB_OK(c.budget().work(text.size()));
  if (from > to) return std::pair(std::string_view(), int64_t{-1});
  auto byte_of = [&](int64_t chars) {
    size_t at = 0;
    for (; chars > 0; --chars) at += char_length(static_cast<unsigned char>(text[at]));
    return at;
  };
  size_t begin = byte_of(from), end = byte_of(to);
  return std::pair(text.substr(begin, end - begin), from);
}

int64_t chars_of(std::string_view text) {
  return std::count_if(text.begin(), text.end(), [](char ch) { return (ch & 0xC0) != 0x80; });
}

Result<Value> finding(Call& c, bool last, bool must) {
  NB_OK(c.bind({"sub", "start", "end"}, 1));
  std::string part = NB_TRY(c.text(0));
  auto [text, from] = NB_TRY(window(c, 1));
  if (last) NB_OK(c.budget().step(static_cast<int64_t>(text.size() * part.size() / 64)));
  size_t at = from < 0 ? text.npos : last ? find_last(text, part) : find_text(text, part);
  if (at == text.npos && must) return fail("substring not found");
  return Value::integer(at == text.npos ? -1 : from + chars_of(text.substr(0, at)));
}
Result<Value> find(Call& c) { return finding(c, false, false); }
Result<Value> rfind(Call& c) { return finding(c, true, false); }
Result<Value> index(Call& c) { return finding(c, false, true); }
Result<Value> rindex(Call& c) { return finding(c, true, true); }

Result<Value> count(Call& c) {
  NB_OK(c.bind({"sub", "start", "end"}, 1));
  std::string part = NB_TRY(c.text(0));
  auto [text, from] = NB_TRY(window(c, 1));
  if (from < 0) return Value::integer(0);
  if (part.empty()) return Value::integer(chars_of(text) + 1);
  int64_t times = 0;
  for (size_t at = find_text(text, part); at != text.npos;
       at = find_text(text, part, at + part.size()))
    ++times;
  return Value::integer(times);
}

// One text or a tuple of them.
Result<Value> edge(Call& c, bool start) {
  NB_OK(c.bind({"prefix", "start", "end"}, 1));
  auto [text, from] = NB_TRY(window(c, 1));
  std::vector<Value> choices;
  if (c[0].is(Kind::kTuple))
    choices = c[0].sequence().items;
  else
    choices.push_back(c[0]);
  for (const Value& choice : choices) {
    if (!choice.is(Kind::kText))
      return fail("{} first arg must be str or a tuple of str, not {}", c.name, type_name(choice));
    bool holds = start ? text.starts_with(choice.text()) : text.ends_with(choice.text());
    if (from >= 0 && holds) return Value::boolean(true);
  }
  return Value::boolean(false);
}
Result<Value> startswith(Call& c) { return edge(c, true); }
Result<Value> endswith(Call& c) { return edge(c, false); }

// Whether the text is not empty and each character passes.
template <class Passes>
Result<Value> all_chars(Call& c, Passes passes) {
  NB_OK(c.bind({}));
  const std::string& text = c.self.text();
  for (size_t at = 0; at < text.size(); at += char_length(static_cast<unsigned char>(text[at])))
    if (!passes(char_at(text.data() + at))) return Value::boolean(false);
  return Value::boolean(!text.empty());
}
Result<Value> isalpha(Call& c) {
  return all_chars(c, [](char32_t ch) { return char_kind(ch) == CharKind::kLetter; });
}
Result<Value> isdigit(Call& c) {
  return all_chars(c, [](char32_t ch) { return is_number(ch); });
}
Result<Value> isalnum(Call& c) {
  return all_chars(c,
                   [](char32_t ch) { return is_number(ch) || char_kind(ch) == CharKind::kLetter; });
}
Result<Value> isspace(Call& c) { return all_chars(c, is_python_space); }
Result<Value> isascii(Call& c) {
  NB_OK(c.bind({}));
  return Value::boolean(c.self.text_object().ascii());
}
Result<Value> isupper(Call& c) {
  NB_OK(c.bind({}));
  return Value::boolean(NB_TRY(c.in.test("upper", c.self, {})));
}
Result<Value> islower(Call& c) {
  NB_OK(c.bind({}));
  return Value::boolean(NB_TRY(c.in.test("lower", c.self, {})));
}

constexpr Builtin kMethods[] = {
    {"split", split},         {"rsplit", rsplit},         {"splitlines", splitlines},
    {"partition", partition}, {"rpartition", rpartition}, {"find", find},
    {"rfind", rfind},         {"index", index},           {"rindex", rindex},
    {"count", count},         {"startswith", startswith}, {"endswith", endswith},
    {"isalpha", isalpha},     {"isdigit", isdigit},       {"isnumeric", isdigit},
    {"isdecimal", isdigit},   {"isalnum", isalnum},       {"isspace", isspace},
    {"isascii", isascii},     {"isupper", isupper},       {"islower", islower},
};

}  // namespace

std::span<const Builtin> text_search_methods() { return kMethods; }

}  // namespace nibble::jinja
