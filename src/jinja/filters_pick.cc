// Filters that apply a filter or a test to each item: map, select, reject and their kin.
#include "jinja/builtins.h"

namespace nibble::jinja {
namespace {

// The first of the positional arguments, taken away.
Result<Value> take_first(Call& c, const char* what) {
  auto& given = c.arguments.positional;
  if (given.empty()) return fail("{}: Missing parameter for {}", c.name, what);
  Value first = std::move(given.front());
  given.erase(given.begin());
  return first;
}

Result<std::string> take_name(Call& c, const char* what) {
  Value name = NB_TRY(take_first(c, what));
  if (!name.is(Kind::kText)) return fail("{}: the {}'s name must be a text", c.name, what);
  return name.text();
}

Result<Value> map_attribute(Call& c) {
  NB_OK(c.bind({"attribute", "default"}, 1));
  std::vector<Value> out;
  for (const Value& item : NB_TRY(iterate(c.budget(), c.self))) {
    Value value = NB_TRY(dotted_attribute(c.in, item, c[0]));
    out.push_back(value.is(Kind::kUndefined) && c.has(1) ? c[1] : value);
  }
  return make_sequence(c.budget(), Kind::kGenerator, std::move(out), "sync_do_map");
}

Result<Value> map(Call& c) {
  if (c.arguments.positional.empty() && !c.arguments.named.empty()) return map_attribute(c);
  std::string filter = NB_TRY(take_name(c, "filter"));
  std::vector<Value> out;
  for (const Value& item : NB_TRY(iterate(c.budget(), c.self)))
    out.push_back(NB_TRY(c.in.filter(filter, item, c.arguments)));
  return make_sequence(c.budget(), Kind::kGenerator, std::move(out), "sync_do_map");
}

// The items, or with `by_attribute` those whose attribute, passes the test as `wanted`.
Result<Value> pick(Call& c, bool by_attribute, bool wanted) {
  Value path = by_attribute ? NB_TRY(take_first(c, "attribute name")) : Value::none();
  std::string test = c.arguments.positional.empty() ? "" : NB_TRY(take_name(c, "test"));
  std::vector<Value> out;
  for (const Value& item : NB_TRY(iterate(c.budget(), c.self))) {
    Value value = by_attribute ? NB_TRY(dotted_attribute(c.in, item, path)) : item;
    bool holds = test.empty() ? truth(value) : NB_TRY(c.in.test(test, value, c.arguments));
    if (holds == wanted) out.push_back(item);
  }
  return make_sequence(c.budget(), Kind::kGenerator, std::move(out), "select_or_reject");
}
Result<Value> select(Call& c) { return pick(c, false, true); }
Result<Value> reject(Call& c) { return pick(c, false, false); }
Result<Value> selectattr(Call& c) { return pick(c, true, true); }
Result<Value> rejectattr(Call& c) { return pick(c, true, false); }

constexpr Builtin kFilters[] = {
    {"map", map},
    {"select", select},
    {"reject", reject},
    {"selectattr", selectattr},
    {"rejectattr", rejectattr},
};

}  // namespace

std::span<const Builtin> pick_filters() { return kFilters; }

}  // namespace nibble::jinja
