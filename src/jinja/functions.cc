// Global functions, the attributes of "loop", and assignments to namespaces.
#include <time.h>

#include <algorithm>
#include <vector>

#include "jinja/builtins.h"
#include "jinja/compare.h"

namespace nibble::jinja {
namespace {

// The sandbox's own bound (jinja2/sandbox.py).
constexpr int64_t kLongestRange = 100'000;

Result<Value> range(Call& c) {
  NB_OK(c.bind({"start", "stop", "step"}, 1));
  bool one = !c.has(1);
  int64_t start = one ? 0 : NB_TRY(c.integer(0)), stop = NB_TRY(c.integer(one ? 0 : 1));
  int64_t step = NB_TRY(c.integer_or(2, 1));
  if (step == 0) return fail("range() arg 3 must not be zero");
  std::vector<Value> items;
  for (int64_t at = start; step > 0 ? at < stop : at > stop;) {
    if (static_cast<int64_t>(items.size()) == kLongestRange)
      return fail("Range too big. The sandbox blocks ranges larger than {}.", kLongestRange);
    items.push_back(Value::integer(at));
    if (__builtin_add_overflow(at, step, &at)) break;
  }
  Value made = NB_TRY(make_sequence(c.budget(), Kind::kRange, std::move(items)));
  Sequence& r = made.sequence();
  r.start = start;
  r.stop = stop;
  r.step = step;
  return made;
}

// dict(mapping or pairs, name=value...)
Result<std::vector<std::pair<Value, Value>>> entries_of(Call& c) {
  std::vector<std::pair<Value, Value>> entries;
  if (c.arguments.positional.size() > 1) return fail("{}() takes at most 1 argument", c.name);
  if (!c.arguments.positional.empty()) {
    const Value& from = c.arguments.positional[0];
    if (from.is(Kind::kDict)) {
      entries = from.dict().entries;
    } else {
      for (const Value& pair : NB_TRY(iterate(c.budget(), from))) {
        std::vector<Value> two = NB_TRY(iterate(c.budget(), pair));
        if (two.size() != 2) return fail("{}() wants pairs of a key and a value", c.name);
        entries.emplace_back(std::move(two[0]), std::move(two[1]));
      }
    }
  }
  for (auto& [name, value] : c.arguments.named)
    entries.emplace_back(NB_TRY(c.made(name)), std::move(value));
  return entries;
}

Result<Value> dict(Call& c) { return make_dict(c.budget(), NB_TRY(entries_of(c))); }

Result<Value> make_namespace(Call& c) {
  auto entries = NB_TRY(entries_of(c));
  auto object = std::make_shared<Namespace>();
  NB_OK(c.in.keep(object));
  object->depth = 1;
  Value space(Kind::kNamespace, object);
  for (auto& [key, value] : entries) NB_OK(set_namespace(c.in, space, key, std::move(value)));
  return space;
}

Result<Value> raise_exception(Call& c) {
  NB_OK(c.bind({"message"}, 1));
  return fail("{}", c[0].is(Kind::kText) ? c[0].text() : "raised by the template");
}

Result<Value> strftime_now(Call& c) {
  NB_OK(c.bind({"format"}, 1));
  std::string form = NB_TRY(c.text(0));
  auto seconds = static_cast<time_t>(c.in.date());
  tm local{};
  localtime_r(&seconds, &local);
  std::vector<char> out(4096);
  size_t length = form.empty() ? 0 : strftime(out.data(), out.size(), form.c_str(), &local);
  if (length == 0 && !form.empty()) return fail("strftime_now(): the format makes no short text");
  return c.made(std::string(out.data(), length));
}

constexpr Builtin kFunctions[] = {
    {"range", range},
    {"dict", dict},
    {"namespace", make_namespace},
    {"raise_exception", raise_exception},
    {"strftime_now", strftime_now},
};

Result<Value> loop_cycle(Interpreter&, const Loop& loop, const Arguments& arguments) {
  if (arguments.positional.empty()) return fail("no items for cycling given");
  return arguments.positional[loop.at % arguments.positional.size()];
}

Result<Value> loop_changed(Interpreter& in, const std::shared_ptr<Object>& object,
                           Arguments arguments) {
  auto& loop = static_cast<Loop&>(*object);
  Value now = NB_TRY(make_sequence(in.budget(), Kind::kTuple, std::move(arguments.positional)));
  bool same = loop.seen.is(Kind::kTuple) && NB_TRY(equal(in.budget(), loop.seen, now));
  if (!same) {
    if (!loop.seen.is(Kind::kTuple)) NB_OK(in.keep(object));
    loop.seen = std::move(now);
  }
  return Value::boolean(!same);
}

}  // namespace

std::span<const Builtin> all_functions() { return kFunctions; }

Result<std::optional<Value>> global_function(Interpreter& in, const std::string& name) {
  const Builtin* found = find_builtin(kFunctions, name);
  if (!found) return std::nullopt;
  auto body = [found](Interpreter& at, Arguments arguments) {
    return invoke(at, *found, Value(), std::move(arguments));
  };
  return NB_TRY(make_callable(in.budget(), name, 0, std::move(body)));
}

Result<std::optional<Value>> loop_attribute(Interpreter& in, const Value& value,
                                            const std::string& name) {
  const auto& loop = static_cast<const Loop&>(*value.object());
  auto at = static_cast<int64_t>(loop.at), count = static_cast<int64_t>(loop.items.size());
  if (name == "index") return Value::integer(at + 1);
  if (name == "index0") return Value::integer(at);
  if (name == "revindex") return Value::integer(count - at);
  if (name == "revindex0") return Value::integer(count - at - 1);
  if (name == "length") return Value::integer(count);
  if (name == "first") return Value::boolean(at == 0);
  if (name == "last") return Value::boolean(at + 1 == count);
  if (name == "depth") return Value::integer(loop.depth0 + 1);
  if (name == "depth0") return Value::integer(loop.depth0);
  if (name == "previtem")
    return at > 0 ? loop.items[loop.at - 1] : make_undefined("there is no previous item");
  if (name == "nextitem")
    return at + 1 < count ? loop.items[loop.at + 1] : make_undefined("there is no next item");
  auto self = value.object();
  if (name == "cycle")
    return NB_TRY(
        make_callable(in.budget(), name, value.depth(), [self](Interpreter& by, Arguments a) {
          return loop_cycle(by, static_cast<const Loop&>(*self), a);
        }));
  if (name == "changed")
    return NB_TRY(make_callable(
        in.budget(), name, value.depth(),
        [self](Interpreter& by, Arguments a) { return loop_changed(by, self, std::move(a)); }));
  return std::nullopt;
}

Status set_namespace(Interpreter& in, const Value& space, const Value& name, Value value) {
  if (name.is(Kind::kText) && name.text().starts_with("_"))
    return fail("chat templates cannot store underscore-prefixed attributes on a namespace");
  return space.dict().put(in.budget(), name, std::move(value));
}

}  // namespace nibble::jinja
