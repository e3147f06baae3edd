// Python's methods of lists, tuples and dicts that leave them as they are.
#include "jinja/builtins.h"
#include "jinja/compare.h"

namespace nibble::jinja {
namespace {

Result<Value> list_count(Call& c) {
  NB_OK(c.bind({"value"}, 1));
  int64_t times = 0;
  for (const Value& item : c.self.sequence().items) times += NB_TRY(equal(c.budget(), item, c[0]));
  return Value::integer(times);
}

Result<Value> list_index(Call& c) {
  NB_OK(c.bind({"value"}, 1));
  const auto& items = c.self.sequence().items;
  for (size_t i = 0; i < items.size(); ++i)
    if (NB_TRY(equal(c.budget(), items[i], c[0]))) return Value::integer(static_cast<int64_t>(i));
  return fail("the value is not in the list");
}

Result<Value> copy(Call& c) {
  NB_OK(c.bind({}));
  return c.self;  // nothing can change either
}

Result<Value> get(Call& c) {
  NB_OK(c.bind({"key", "default"}, 1));
  const Value* found = NB_TRY(c.self.dict().find(c.budget(), c[0]));
  return found ? *found : c.value_or(1, Value::none());
}

enum class Part : uint8_t { kKeys, kValues, kItems };
template <Part kPart>
Result<Value> view(Call& c) {
  NB_OK(c.bind({}));
  std::vector<Value> out;
  for (const auto& [key, value] : c.self.dict().entries) {
    if (kPart == Part::kItems)
      out.push_back(NB_TRY(make_sequence(c.budget(), Kind::kTuple, {key, value})));
    else
      out.push_back(kPart == Part::kKeys ? key : value);
  }
  const char* name = kPart == Part::kKeys     ? "dict_keys"
                     : kPart == Part::kValues ? "dict_values"
                                              : "dict_items";
  return make_sequence(c.budget(), Kind::kView, std::move(out), name);
}

constexpr Builtin kListMethods[] = {{"count", list_count}, {"index", list_index}, {"copy", copy}};
constexpr Builtin kDictMethods[] = {{"get", get},
                                    {"keys", view<Part::kKeys>},
                                    {"values", view<Part::kValues>},
                                    {"items", view<Part::kItems>},
                                    {"copy", copy}};

}  // namespace

std::span<const Builtin> list_methods() { return kListMethods; }
std::span<const Builtin> dict_methods() { return kDictMethods; }

}  // namespace nibble::jinja
