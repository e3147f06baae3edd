#include "jinja/value.h"

#include <algorithm>
#include <cmath>

#include "jinja/compare.h"
#include "text/utf8.h"

namespace nibble::jinja {
namespace {

constexpr int kDeepest = 100;

int depth_of(const std::vector<Value>& items) {
  int deepest = 0;
  for (const Value& v : items) deepest = std::max(deepest, v.depth());
  return deepest + 1;
}

Status check_depth(int depth) {
  if (depth <= kDeepest) return {};
  return fail("the template nests values deeper than {}", kDeepest);
}

int64_t count_chars(std::string_view text) {
  return std::count_if(text.begin(), text.end(), [](char c) { return (c & 0xC0) != 0x80; });
}

std::shared_ptr<Text> text_object_of(std::string text) {
  auto object = std::make_shared<Text>();
  object->chars = count_chars(text);
  object->text = std::move(text);
  return object;
}

}  // namespace

const std::string& Value::text() const { return static_cast<const Text*>(object_.get())->text; }
const Text& Value::text_object() const { return *static_cast<const Text*>(object_.get()); }
Sequence& Value::sequence() const { return *static_cast<Sequence*>(object_.get()); }
Dict& Value::dict() const { return *static_cast<Dict*>(object_.get()); }
Callable& Value::callable() const { return *static_cast<Callable*>(object_.get()); }

Status charge(Budget& budget, Object& object, int64_t bytes) {
  constexpr int64_t kOverhead = 96;
  object.budget = &budget;
  object.charged = bytes + kOverhead;
  return budget.hold(object.charged);
}

Result<Value> make_text(Budget& budget, std::string text) {
  NB_OK(budget.work(text.size()));
  auto object = text_object_of(std::move(text));
  NB_OK(charge(budget, *object, static_cast<int64_t>(object->text.size())));
  return Value(Kind::kText, std::move(object));
}

Value make_constant(std::string text) { return {Kind::kText, text_object_of(std::move(text))}; }

Value make_undefined(std::string message) {
  auto object = std::make_shared<Undefined>();
  object->message = std::move(message);
  return {Kind::kUndefined, std::move(object)};
}

std::string why_undefined(const Value& value) {
  if (!value.object()) return "a value is undefined";
  return static_cast<const Undefined*>(value.object().get())->message;
}

Result<Value> make_sequence(Budget& budget, Kind kind, std::vector<Value> items, const char* name) {
  NB_OK(budget.step(1 + static_cast<int64_t>(items.size()) / 8));
  auto object = std::make_shared<Sequence>();
  object->depth = depth_of(items);
  NB_OK(check_depth(object->depth));
  NB_OK(charge(budget, *object, static_cast<int64_t>(items.size() * sizeof(Value))));
  object->items = std::move(items);
  object->name = name;
  return Value(kind, std::move(object));
}

Result<Value> make_dict(Budget& budget, std::vector<std::pair<Value, Value>> entries) {
  auto object = std::make_shared<Dict>();
  NB_OK(charge(budget, *object, 0));
  for (auto& [key, value] : entries) {
    object->depth = std::max({object->depth, key.depth() + 1, value.depth() + 1});
    NB_OK(check_depth(object->depth));
    NB_OK(object->put(budget, std::move(key), std::move(value)));
  }
  return Value(Kind::kDict, std::move(object));
}

Result<Value> make_callable(Budget& budget, std::string name, int depth,
                            std::function<Result<Value>(Interpreter&, Arguments)> body) {
  auto object = std::make_shared<Callable>();
  NB_OK(charge(budget, *object, 0));
  object->depth = depth + 1;
  NB_OK(check_depth(object->depth));
  object->name = std::move(name);
  object->body = std::move(body);
  return Value(Kind::kCallable, std::move(object));
}

Result<const Value*> Dict::find(Budget& budget, const Value& key) const {
  auto it = places.find(NB_TRY(hash_text(budget, key)));
  return it == places.end() ? nullptr : &entries[it->second].second;
}

const Value* Dict::find(const std::string& key) const {
  auto it = places.find("s" + key);
  return it == places.end() ? nullptr : &entries[it->second].second;
}

Status Dict::put(Budget& by, Value key, Value value) {
  constexpr int64_t kEntry = 160;
  std::string hash = NB_TRY(hash_text(by, key));
  NB_OK(by.step());
  auto [it, fresh] = places.try_emplace(std::move(hash), entries.size());
  if (!fresh) {
    entries[it->second].second = std::move(value);
    return {};
  }
  int64_t cost = kEntry + static_cast<int64_t>(it->first.size());
  charged += cost;
  entries.emplace_back(std::move(key), std::move(value));
  return by.hold(cost);
}

Result<Value> from_json(Budget& budget, const Json& json) {
  if (json.is_null()) return Value::none();
  if (json.is_boolean()) return Value::boolean(json.get<bool>());
  if (json.is_number_unsigned() && json.get<uint64_t>() > uint64_t{INT64_MAX})
    return fail("the whole number {} does not fit 64 bits", json.dump());
  if (json.is_number_integer()) return Value::integer(json.get<int64_t>());
  if (json.is_number()) return Value::real(json.get<double>());
  if (json.is_string()) return make_text(budget, json.get<std::string>());
  if (json.is_array()) {
    std::vector<Value> items;
    for (const Json& v : json) items.push_back(NB_TRY(from_json(budget, v)));
    return make_sequence(budget, Kind::kList, std::move(items));
  }
  std::vector<std::pair<Value, Value>> entries;
  for (const auto& [key, member] : json.items())
    entries.emplace_back(NB_TRY(make_text(budget, key)), NB_TRY(from_json(budget, member)));
  return make_dict(budget, std::move(entries));
}

const char* type_name(const Value& value) {
  static constexpr const char* kNames[] = {
      "Undefined", "NoneType",  "bool",      "int",  "float",     "str",      "list",       "tuple",
      "range",     "dict view", "generator", "dict", "Namespace", "function", "LoopContext"};
  return kNames[static_cast<size_t>(value.kind())];
}

bool truth(const Value& value) {
  switch (value.kind()) {
    case Kind::kUndefined:
    case Kind::kNone:
      return false;
    case Kind::kBool:
    case Kind::kInt:
      return value.to_int() != 0;
    case Kind::kFloat:
      return value.to_real() != 0;
    case Kind::kText:
      return !value.text().empty();
    case Kind::kDict:
      return !value.dict().entries.empty();
    case Kind::kList:
    case Kind::kTuple:
    case Kind::kRange:
    case Kind::kView:
      return !value.sequence().items.empty();
    default:
      return true;
  }
}

Result<int64_t> length_of(const Value& value) {
  if (value.is(Kind::kUndefined)) return 0;
  if (value.is(Kind::kText)) return value.text_object().chars;
  if (value.is(Kind::kDict)) return static_cast<int64_t>(value.dict().entries.size());
  if (value.is_sequence() && !value.is(Kind::kGenerator))
    return static_cast<int64_t>(value.sequence().items.size());
  return fail("object of type '{}' has no len()", type_name(value));
}

Result<std::vector<Value>> iterate(Budget& budget, const Value& value) {
  std::vector<Value> items;
  if (value.is(Kind::kUndefined)) return items;
  if (value.is(Kind::kGenerator)) return std::exchange(value.sequence().items, {});
  if (value.is_sequence()) {
    NB_OK(budget.step(static_cast<int64_t>(value.sequence().items.size()) / 8));
    return value.sequence().items;
  }
  if (value.is(Kind::kDict)) {
    for (const auto& [key, member] : value.dict().entries) items.push_back(key);
    NB_OK(budget.step(static_cast<int64_t>(items.size()) / 8));
    return items;
  }
  if (!value.is(Kind::kText)) return fail("'{}' object is not iterable", type_name(value));
  const std::string& text = value.text();
  for (size_t at = 0; at < text.size();) {
    size_t length = char_length(static_cast<unsigned char>(text[at]));
    items.push_back(NB_TRY(make_text(budget, text.substr(at, length))));
    at += length;
  }
  return items;
}

}  // namespace nibble::jinja
