// Python's methods of str that change text.
#include <algorithm>

#include "jinja/builtins.h"
#include "jinja/compare.h"
#include "jinja/print.h"
#include "text/python_text.h"
#include "text/utf8.h"

namespace nibble::jinja {
namespace {

size_t length_at(std::string_view text, size_t at) {
  return char_length(static_cast<unsigned char>(text[at]));
}

Result<Value> upper(Call& c) {
  NB_OK(c.bind({}));
  return c.made(upper_text(c.self.text()));
}
Result<Value> lower(Call& c) {
  NB_OK(c.bind({}));
  return c.made(lower_text(c.self.text()));
}
Result<Value> capitalize(Call& c) {
  NB_OK(c.bind({}));
  const std::string& text = c.self.text();
  if (text.empty()) return c.self;
  size_t first = length_at(text, 0);
  std::string head = upper_text(text.substr(0, first));
  if (head == "SS") head = "Ss";
  return c.made(head + lower_text(text.substr(first)));
}

// Each letter after one that is none becomes a capital.
Result<Value> title(Call& c) {
  NB_OK(c.bind({}));
  const std::string& text = c.self.text();
  std::string out;
  bool inside = false;
  for (size_t at = 0; at < text.size(); at += length_at(text, at)) {
    std::string one = text.substr(at, length_at(text, at));
    out += inside ? lower_text(one) : upper_text(one);
    inside = upper_text(one) != lower_text(one);
  }
  return c.made(std::move(out));
}

Result<Value> swapcase(Call& c) {
  NB_OK(c.bind({}));
  const std::string& text = c.self.text();
  std::string out;
  for (size_t at = 0; at < text.size(); at += length_at(text, at)) {
    std::string one = text.substr(at, length_at(text, at)), up = upper_text(one);
    out += one == up ? lower_text(one) : up;
  }
  return c.made(std::move(out));
}

// Characters of `set`, or white space where it is none, at the ends.
Result<Value> stripped(Call& c, bool left, bool right) {
  NB_OK(c.bind({"chars"}));
  std::string_view text = c.self.text();
  bool space = !c.has(0) || c[0].is(Kind::kNone);
  NB_OK(c.budget().work(text.size()));
  if (space) {
    if (left) text = python_lstrip(text);
    if (right) text = python_rstrip(text);
    return c.made(std::string(text));
  }
  std::string set = NB_TRY(c.text(0));
  NB_OK(c.budget().work(set.size()));
  auto among = [&](std::string_view one) {
    for (size_t at = 0; at < set.size(); at += length_at(set, at))
      if (std::string_view(set).substr(at, length_at(set, at)) == one) return true;
    return false;
  };
  while (left && !text.empty() && among(text.substr(0, length_at(text, 0)))) {
    text.remove_prefix(length_at(text, 0));
    NB_OK(c.budget().work(set.size()));
  }
  while (right && !text.empty()) {
    size_t last = text.size() - 1;
    while ((text[last] & 0xC0) == 0x80) --last;
    if (!among(text.substr(last))) break;
    text = text.substr(0, last);
    NB_OK(c.budget().work(set.size()));
  }
  return c.made(std::string(text));
}
Result<Value> strip(Call& c) { return stripped(c, true, true); }
Result<Value> lstrip(Call& c) { return stripped(c, true, false); }
Result<Value> rstrip(Call& c) { return stripped(c, false, true); }

Result<Value> replace(Call& c) {
  NB_OK(c.bind({"old", "new", "count"}, 2));
  std::string from = NB_TRY(c.text(0)), to = NB_TRY(c.text(1)), out;
  int64_t count = NB_TRY(c.integer_or(2, -1));
  const std::string& text = c.self.text();
  size_t at = 0;
  for (; count != 0; --count) {
    size_t found = find_text(text, from, at);
    if (found == text.npos) break;
    // An empty text stands before every character and at the end.
    size_t step = from.empty() && found < text.size() ? length_at(text, found) : 0;
    out.append(text, at, found - at);
    out += to;
    out.append(text, found, step);
    NB_OK(c.budget().work(to.size()));
    NB_OK(c.budget().check_output(out.size()));
    at = found + from.size() + step;
    if (from.empty() && step == 0) break;
  }
  if (at < text.size()) out.append(text, at);
  return c.made(std::move(out));
}

// As wide as asked, with `fill` at the left, the right, or both.
Result<Value> padded(Call& c, bool left, bool right) {
  NB_OK(c.bind({"width", "fillchar"}, 1));
  int64_t width = NB_TRY(c.integer(0)), missing = width - c.self.text_object().chars;
  std::string fill = NB_TRY(c.text_or(1, " "));
  if (fill.empty() || length_at(fill, 0) != fill.size())
    return fail("The fill character must be exactly one character long");
  if (missing <= 0) return c.self;
  NB_OK(c.budget().check_output(static_cast<size_t>(width)));
  NB_OK(c.budget().work(static_cast<size_t>(width)));
  // Python's rounding of an odd rest.
  int64_t before = left && right ? missing / 2 + (missing & width & 1) : left ? missing : 0;
  std::string out;
  for (int64_t i = 0; i < before; ++i) out += fill;
  out += c.self.text();
  for (int64_t i = before; i < missing; ++i) out += fill;
  return c.made(std::move(out));
}
Result<Value> center(Call& c) { return padded(c, true, true); }
Result<Value> ljust(Call& c) { return padded(c, false, true); }
Result<Value> rjust(Call& c) { return padded(c, true, false); }

Result<Value> zfill(Call& c) {
  NB_OK(c.bind({"width"}, 1));
  int64_t missing = NB_TRY(c.integer(0)) - c.self.text_object().chars;
  if (missing <= 0) return c.self;
  NB_OK(c.budget().check_output(static_cast<size_t>(missing)));
  std::string out = c.self.text();
  bool sign = out.starts_with('-') || out.starts_with('+');
  out.insert(sign, static_cast<size_t>(missing), '0');
  return c.made(std::move(out));
}

Result<Value> removeprefix(Call& c) {
  NB_OK(c.bind({"prefix"}, 1));
  std::string prefix = NB_TRY(c.text(0));
  if (!c.self.text().starts_with(prefix)) return c.self;
  return c.made(c.self.text().substr(prefix.size()));
}
Result<Value> removesuffix(Call& c) {
  NB_OK(c.bind({"suffix"}, 1));
  std::string suffix = NB_TRY(c.text(0));
  if (!c.self.text().ends_with(suffix)) return c.self;
  return c.made(c.self.text().substr(0, c.self.text().size() - suffix.size()));
}

Result<Value> join(Call& c) {
  NB_OK(c.bind({"iterable"}, 1));
  std::string out;
  bool first = true;
  for (const Value& item : NB_TRY(iterate(c.budget(), c[0]))) {
    if (!item.is(Kind::kText))
      return fail("sequence item: expected str instance, {} found", type_name(item));
    if (!std::exchange(first, false)) out += c.self.text();
    out += item.text();
    NB_OK(c.budget().work(c.self.text().size()));
    NB_OK(c.budget().check_output(out.size()));
  }
  return c.made(std::move(out));
}

Result<Value> expandtabs(Call& c) {
  NB_OK(c.bind({"tabsize"}));
  int64_t size = NB_TRY(c.integer_or(0, 8)), column = 0;
  if (size > 1024) return fail("expandtabs() to {}", size);
  const std::string& text = c.self.text();
  std::string out;
  for (char ch : text) {
    if (ch != '\t') {
      out += ch;
      column = ch == '\n' || ch == '\r' ? 0 : column + ((ch & 0xC0) != 0x80);
      continue;
    }
    int64_t gap = size > 0 ? size - column % size : 0;
    out.append(static_cast<size_t>(gap), ' ');
    column += gap;
    NB_OK(c.budget().work(static_cast<size_t>(gap)));
    NB_OK(c.budget().check_output(out.size()));
  }
  return c.made(std::move(out));
}

Result<Value> format(Call& c) {
  std::string form = c.self.text();
  return format_braces(c.in, form, c.arguments);
}

constexpr Builtin kMethods[] = {
    {"upper", upper},
    {"lower", lower},
    {"casefold", lower},
    {"capitalize", capitalize},
    {"title", title},
    {"swapcase", swapcase},
    {"strip", strip},
    {"lstrip", lstrip},
    {"rstrip", rstrip},
    {"replace", replace},
    {"center", center},
    {"ljust", ljust},
    {"rjust", rjust},
    {"zfill", zfill},
    {"removeprefix", removeprefix},
    {"join", join},
    {"format", format},
    {"removesuffix", removesuffix},
    {"expandtabs", expandtabs},
};

}  // namespace

std::span<const Builtin> text_methods() { return kMethods; }

}  // namespace nibble::jinja
