// Filters that make text of text (jinja2/filters.py).
#include <algorithm>

#include "jinja/builtins.h"
#include "jinja/compare.h"
#include "jinja/print.h"
#include "text/python_text.h"
#include "text/utf8.h"

namespace nibble::jinja {
namespace {

// The input as text, whatever it is.
Result<std::string> input(Call& c) { return to_text(c.budget(), c.self); }

// The text method of the same name, on the input as text.
Result<Value> by_method(Call& c, const char* method) {
  Value text = NB_TRY(c.made(NB_TRY(input(c))));
  return invoke(c.in, *find_method(text, method), text, std::move(c.arguments));
}

Result<Value> upper(Call& c) { return by_method(c, "upper"); }
Result<Value> lower(Call& c) { return by_method(c, "lower"); }
Result<Value> capitalize(Call& c) { return by_method(c, "capitalize"); }
Result<Value> trim(Call& c) { return by_method(c, "strip"); }

// A capital after white space or one of -([{<, all else small.
Result<Value> title(Call& c) {
  NB_OK(c.bind({}));
  std::string text = NB_TRY(input(c)), out;
  bool begin = true;
  for (size_t at = 0; at < text.size();) {
    size_t length = char_length(static_cast<unsigned char>(text[at]));
    std::string one = text.substr(at, length);
    out += begin ? upper_text(one) : lower_text(one);
    begin = is_python_space(char_at(text.data() + at)) ||
            (length == 1 && std::string_view("-([{<").find(text[at]) != std::string_view::npos);
    at += length;
  }
  return c.made(std::move(out));
}

Result<Value> replace(Call& c) {
  NB_OK(c.bind({"old", "new", "count"}, 2));
  Value text = NB_TRY(c.made(NB_TRY(input(c))));
  Arguments arguments;
  for (size_t i : {0, 1})
    arguments.positional.push_back(NB_TRY(c.made(NB_TRY(to_text(c.budget(), c[i])))));
  if (c.has(2) && !c[2].is(Kind::kNone)) arguments.positional.push_back(c[2]);
  return invoke(c.in, *find_method(text, "replace"), text, std::move(arguments));
}

// `s` spaces or that text before each line but the first, and but empty ones.
Result<Value> indent(Call& c) {
  NB_OK(c.bind({"width", "first", "blank"}));
  std::string text = NB_TRY(input(c)), pad = "    ", out;
  if (c.has(0) && c[0].is(Kind::kText)) pad = c[0].text();
  if (c.has(0) && !c[0].is(Kind::kText)) {
    int64_t width = NB_TRY(c.integer(0));
    if (width > 1 << 16) return fail("indent() by more than {}", 1 << 16);
    pad.assign(static_cast<size_t>(std::max<int64_t>(width, 0)), ' ');
  }
  bool first = c.flag(1), blank = c.flag(2), begin = true;
  if (text.empty() && first) out = pad;
  for (size_t at = 0; at < text.size();) {
    size_t end = std::min(text.find('\n', at), text.size());
    bool empty = end == at;
    if (begin ? first : (!empty || blank)) out += pad;
    begin = false;
    out.append(text, at, end + 1 - at);
    NB_OK(c.budget().work(out.size() / 64 + pad.size()));
    NB_OK(c.budget().check_output(out.size()));
    at = end + 1;
  }
  return c.made(std::move(out));
}

Result<Value> center(Call& c) {
  NB_OK(c.bind({"width"}));
  Value text = NB_TRY(c.made(NB_TRY(input(c))));
  Arguments arguments{{Value::integer(NB_TRY(c.integer_or(0, 80)))}, {}};
  return invoke(c.in, *find_method(text, "center"), text, std::move(arguments));
}

Result<Value> truncate(Call& c) {
  NB_OK(c.bind({"length", "killwords", "end", "leeway"}));
  int64_t length = NB_TRY(c.integer_or(0, 255)), leeway = NB_TRY(c.integer_or(3, 5));
  std::string end = NB_TRY(c.text_or(2, "..."));
  Value text = NB_TRY(c.made(NB_TRY(input(c)))), tail = NB_TRY(c.made(end));
  int64_t tail_length = tail.text_object().chars;
  if (length < tail_length) return fail("expected length >= {}, got {}", tail_length, length);
  if (leeway < 0) return fail("expected leeway >= 0, got {}", leeway);
  if (text.text_object().chars - leeway <= length) return text;
  Value cut =
      NB_TRY(slice(c.in, text, Value::none(), Value::integer(length - tail_length), Value::none()));
  std::string kept = cut.text();
  if (!c.flag(1)) kept = kept.substr(0, kept.rfind(' '));
  return c.made(kept + end);
}

Result<Value> wordcount(Call& c) {
  NB_OK(c.bind({}));
  std::string text = NB_TRY(input(c));
  int64_t count = 0;
  bool inside = false;
  for (size_t at = 0; at < text.size(); at += char_length(static_cast<unsigned char>(text[at]))) {
    bool word = is_word_char(char_at(text.data() + at));
    count += word && !inside;
    inside = word;
  }
  return Value::integer(count);
}

Result<Value> escape(Call& c) {
  NB_OK(c.bind({}));
  std::string out;
  for (char ch : NB_TRY(input(c))) {
    static constexpr std::string_view kChars = "&<>'\"";
    static constexpr const char* kNames[] = {"&amp;", "&lt;", "&gt;", "&#39;", "&#34;"};
    size_t i = kChars.find(ch);
    if (i == kChars.npos)
      out += ch;
    else
      out += kNames[i];
  }
  return c.made(std::move(out));
}

Result<Value> urlencode(Call& c) {
  NB_OK(c.bind({}));
  if (!c.self.is(Kind::kText) && (c.self.is(Kind::kDict) || c.self.is_sequence()))
    return fail("urlencode is for text here");
  std::string out;
  for (char ch : NB_TRY(input(c))) {
    bool plain = (ch >= 'a' && ch <= 'z') || (ch >= 'A' && ch <= 'Z') || (ch >= '0' && ch <= '9') ||
                 std::string_view("_.-~/").find(ch) != std::string_view::npos;
    if (plain)
      out += ch;
    else
      out += fmt::format("%{:02X}", static_cast<unsigned char>(ch));
  }
  return c.made(std::move(out));
}

Result<Value> string(Call& c) {
  NB_OK(c.bind({}));
  return c.made(NB_TRY(input(c)));
}

Result<Value> format(Call& c) {
  if (!c.arguments.positional.empty() && !c.arguments.named.empty())
    return fail("can't handle positional and keyword arguments at the same time");
  Value values;
  if (!c.arguments.named.empty()) {
    std::vector<std::pair<Value, Value>> entries;
    for (auto& [name, value] : c.arguments.named)
      entries.emplace_back(NB_TRY(c.made(name)), std::move(value));
    values = NB_TRY(make_dict(c.budget(), std::move(entries)));
  } else {
    values = NB_TRY(make_sequence(c.budget(), Kind::kTuple, std::move(c.arguments.positional)));
  }
  return format_percent(c.in, NB_TRY(input(c)), values);
}

constexpr Builtin kFilters[] = {
    {"upper", upper},        {"lower", lower},         {"capitalize", capitalize},
    {"title", title},        {"trim", trim},           {"replace", replace},
    {"indent", indent},      {"center", center},       {"truncate", truncate},
    {"escape", escape},      {"wordcount", wordcount}, {"e", escape},
    {"forceescape", escape}, {"urlencode", urlencode}, {"string", string},
    {"safe", string},        {"format", format},
};

}  // namespace

std::span<const Builtin> text_filters() { return kFilters; }

}  // namespace nibble::jinja
