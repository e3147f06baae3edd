// Filters on lists and dicts (jinja2/filters.py).
#include <algorithm>
#include <list>

#include "jinja/builtins.h"
#include "jinja/compare.h"
#include "jinja/print.h"

namespace nibble::jinja {
namespace {

Result<std::vector<Value>> items_of(Call& c) { return iterate(c.budget(), c.self); }

Result<Value> length(Call& c) {
  NB_OK(c.bind({}));
  return Value::integer(NB_TRY(length_of(c.self)));
}

Result<Value> list(Call& c) {
  NB_OK(c.bind({}));
  return make_sequence(c.budget(), Kind::kList, NB_TRY(items_of(c)));
}

Result<Value> first(Call& c) {
  NB_OK(c.bind({}));
  if (c.self.is(Kind::kGenerator) && !c.self.sequence().items.empty()) {
    auto& items = c.self.sequence().items;
    Value head = std::move(items.front());
    items.erase(items.begin());
    return head;
  }
  std::vector<Value> items = NB_TRY(items_of(c));
  if (items.empty()) return make_undefined("No first item, sequence was empty.");
  return items.front();
}

Result<Value> last(Call& c) {
  NB_OK(c.bind({}));
  if (c.self.is(Kind::kGenerator)) return fail("'generator' object is not reversible");
  std::vector<Value> items = NB_TRY(items_of(c));
  if (items.empty()) return make_undefined("No last item, sequence was empty.");
  return items.back();
}

Result<Value> join(Call& c) {
  NB_OK(c.bind({"d", "attribute"}));
  std::string between = c.has(0) ? NB_TRY(to_text(c.budget(), c[0])) : "", out;
  bool first = true;
  for (const Value& item : NB_TRY(items_of(c))) {
    if (!std::exchange(first, false)) out += between;
    bool path = c.has(1) && !c[1].is(Kind::kNone);
    out += NB_TRY(to_text(c.budget(), path ? NB_TRY(dotted_attribute(c.in, item, c[1])) : item));
    NB_OK(c.budget().work(between.size()));
    NB_OK(c.budget().check_output(out.size()));
  }
  return c.made(std::move(out));
}

Result<Value> reverse(Call& c) {
  NB_OK(c.bind({}));
  if (c.self.is(Kind::kText))
    return slice(c.in, c.self, Value::none(), Value::none(), Value::integer(-1));
  if (c.self.is(Kind::kUndefined)) return fail("{}", why_undefined(c.self));
  std::vector<Value> items = NB_TRY(items_of(c));
  std::reverse(items.begin(), items.end());
  return make_sequence(c.budget(), Kind::kGenerator, std::move(items));
}

// A stable order by keys; the first error of a comparison ends it. A list's merge sort stays in
// bounds whatever the comparisons say (NaN), which std::sort does not.
using Keyed = std::list<std::pair<Value, Value>>;
Status sort_by(Budget& budget, Keyed& keyed, bool descending) {
  Status problem;
  auto before = [&](const auto& a, const auto& b) {
    if (!problem) return false;
    auto less =
        compare_by(budget, "<", descending ? b.first : a.first, descending ? a.first : b.first);
    if (!less) problem = std::unexpected(less.error());
    return less && *less;
  };
  keyed.sort(before);
  return problem;
}

// Several attributes, "a,b", make a list to order by.
Result<Value> key_of(Call& c, const Value& item, const Value& path, bool case_sensitive) {
  if (!path.is(Kind::kText) || path.text().find(',') == std::string::npos)
    return sort_key(c.in, item, path, case_sensitive);
  std::vector<Value> keys;
  const std::string& names = path.text();
  for (size_t begin = 0; begin <= names.size();) {
    size_t end = std::min(names.find(',', begin), names.size());
    Value one = NB_TRY(c.made(names.substr(begin, end - begin)));
    keys.push_back(NB_TRY(sort_key(c.in, item, one, case_sensitive)));
    begin = end + 1;
  }
  return make_sequence(c.budget(), Kind::kList, std::move(keys));
}

Result<Value> sort(Call& c) {
  NB_OK(c.bind({"reverse", "case_sensitive", "attribute"}));
  Keyed keyed;
  for (const Value& item : NB_TRY(items_of(c)))
    keyed.emplace_back(NB_TRY(key_of(c, item, c.value_or(2, Value::none()), c.flag(1))), item);
  NB_OK(sort_by(c.budget(), keyed, c.flag(0)));
  std::vector<Value> out;
  for (auto& [key, item] : keyed) out.push_back(std::move(item));
  return make_sequence(c.budget(), Kind::kList, std::move(out));
}

Result<Value> dictsort(Call& c) {
  NB_OK(c.bind({"case_sensitive", "by", "reverse"}));
  std::string by = NB_TRY(c.text_or(1, "key"));
  if (by != "key" && by != "value") return fail("You can only sort by either \"key\" or \"value\"");
  if (!c.self.is(Kind::kDict)) return fail("'{}' object has no items to sort", type_name(c.self));
  Keyed keyed;
  for (const auto& [key, value] : c.self.dict().entries) {
    Value pair = NB_TRY(make_sequence(c.budget(), Kind::kTuple, {key, value}));
    keyed.emplace_back(NB_TRY(sort_key(c.in, by == "key" ? key : value, Value::none(), c.flag(0))),
                       pair);
  }
  NB_OK(sort_by(c.budget(), keyed, c.flag(2)));
  std::vector<Value> out;
  for (auto& [key, item] : keyed) out.push_back(std::move(item));
  return make_sequence(c.budget(), Kind::kList, std::move(out));
}

Result<Value> items(Call& c) {
  NB_OK(c.bind({}));
  if (c.self.is(Kind::kUndefined)) return make_sequence(c.budget(), Kind::kGenerator, {}, "items");
  if (!c.self.is(Kind::kDict)) return fail("Can only get item pairs from a mapping.");
  std::vector<Value> out;
  for (const auto& [key, value] : c.self.dict().entries)
    out.push_back(NB_TRY(make_sequence(c.budget(), Kind::kTuple, {key, value})));
  return make_sequence(c.budget(), Kind::kGenerator, std::move(out), "items");
}

// min and max: the first of the best.
Result<Value> extreme(Call& c, const char* better) {
  NB_OK(c.bind({"case_sensitive", "attribute"}));
  std::optional<std::pair<Value, Value>> best;
  for (const Value& item : NB_TRY(items_of(c))) {
    Value key = NB_TRY(sort_key(c.in, item, c.value_or(1, Value::none()), c.flag(0)));
    if (!best || NB_TRY(compare_by(c.budget(), better, key, best->first))) best.emplace(key, item);
  }
  if (!best) return make_undefined("No aggregated item, sequence was empty.");
  return best->second;
}
Result<Value> min(Call& c) { return extreme(c, "<"); }
Result<Value> max(Call& c) { return extreme(c, ">"); }

Result<Value> sum(Call& c) {
  NB_OK(c.bind({"attribute", "start"}));
  Value total = c.value_or(1, Value::integer(0));
  if (total.is(Kind::kText)) return fail("sum() can't sum strings [use ''.join(seq) instead]");
  for (const Value& item : NB_TRY(items_of(c))) {
    bool path = c.has(0) && !c[0].is(Kind::kNone);
    total = NB_TRY(
        arithmetic(c.in, "+", total, path ? NB_TRY(dotted_attribute(c.in, item, c[0])) : item));
  }
  return total;
}

Result<Value> unique(Call& c) {
  NB_OK(c.bind({"case_sensitive", "attribute"}));
  Dict seen;
  std::vector<Value> out;
  for (const Value& item : NB_TRY(items_of(c))) {
    Value key = NB_TRY(sort_key(c.in, item, c.value_or(1, Value::none()), c.flag(0)));
    size_t before = seen.entries.size();
    std::string hash = NB_TRY(hash_text(c.budget(), key));
    if (!seen.places.try_emplace(hash, before).second) continue;
    out.push_back(item);
  }
  return make_sequence(c.budget(), Kind::kGenerator, std::move(out), "do_unique");
}

Result<Value> group_of(Call& c, const Value& key, std::vector<Value> members) {
  Value list = NB_TRY(make_sequence(c.budget(), Kind::kList, std::move(members)));
  Value pair = NB_TRY(make_sequence(c.budget(), Kind::kTuple, {key, list}));
  pair.sequence().group = true;
  return pair;
}

Result<Value> groupby(Call& c) {
  NB_OK(c.bind({"attribute", "default", "case_sensitive"}, 1));
  Keyed keyed;
  for (const Value& item : NB_TRY(items_of(c))) {
    Value key = NB_TRY(dotted_attribute(c.in, item, c[0]));
    if (key.is(Kind::kUndefined) && c.has(1)) key = c[1];
    if (!c.flag(2) && key.is(Kind::kText)) key = NB_TRY(c.made(lower_text(key.text())));
    keyed.emplace_back(key, item);
  }
  NB_OK(sort_by(c.budget(), keyed, false));
  std::vector<Value> groups;
  for (auto at = keyed.begin(); at != keyed.end();) {
    Value key = at->first, shown = NB_TRY(dotted_attribute(c.in, at->second, c[0]));
    if (shown.is(Kind::kUndefined)) shown = key;
    std::vector<Value> members;
    for (; at != keyed.end() && NB_TRY(equal(c.budget(), at->first, key)); ++at)
      members.push_back(at->second);
    if (members.empty()) members.push_back((at++)->second);  // NaN, which equals nothing
    groups.push_back(NB_TRY(group_of(c, shown, std::move(members))));
  }
  return make_sequence(c.budget(), Kind::kList, std::move(groups));
}

Result<Value> batch(Call& c) {
  NB_OK(c.bind({"linecount", "fill_with"}, 1));
  int64_t size = NB_TRY(c.integer(0));
  if (size < 1 || size > 1 << 20) return fail("batch() of {}", size);
  std::vector<Value> out, row;
  std::vector<Value> all = NB_TRY(items_of(c));
  for (size_t i = 0; i < all.size(); ++i) {
    row.push_back(all[i]);
    bool end = i + 1 == all.size();
    bool fill = end && c.has(1) && !c[1].is(Kind::kNone);
    while (fill && static_cast<int64_t>(row.size()) < size) row.push_back(c[1]);
    if (!end && static_cast<int64_t>(row.size()) < size) continue;
    out.push_back(NB_TRY(make_sequence(c.budget(), Kind::kList, std::exchange(row, {}))));
  }
  return make_sequence(c.budget(), Kind::kGenerator, std::move(out), "do_batch");
}

constexpr Builtin kFilters[] = {
    {"length", length}, {"count", length},  {"list", list},         {"first", first},
    {"last", last},     {"join", join},     {"reverse", reverse},   {"sort", sort},
    {"items", items},   {"min", min},       {"dictsort", dictsort}, {"max", max},
    {"sum", sum},       {"unique", unique}, {"groupby", groupby},   {"batch", batch},
};

}  // namespace

std::span<const Builtin> list_filters() { return kFilters; }

}  // namespace nibble::jinja
