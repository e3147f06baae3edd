// The values of a template, which are Python's: what Jinja computes with.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "base/json.h"
#include "jinja/budget.h"

namespace nibble::jinja {

enum class Kind : uint8_t {
  kUndefined,
  kNone,
  kBool,
  kInt,  // 64 bits; what leaves them is an error, where Python goes on
  kFloat,
  kText,
  kList,
  kTuple,
  kRange,
  kView,       // of a dict: keys(), values(), items()
  kGenerator,  // what map, select and their like give: is consumed, has no length
  kDict,
  kNamespace,  // the only thing that a template may change
  kCallable,
  kLoop,
};

// On the heap, immutable once made (but namespaces and what consumes a generator), so that values
// share it. `depth` bounds what recursion over a value meets.
struct Object {
  Object() = default;
  Object(const Object&) = delete;
  Object& operator=(const Object&) = delete;
  virtual ~Object() {
    if (budget) budget->release(charged);
  }
  // Lets go of other objects, where those may lead back here.
  virtual void clear() {}

  Budget* budget = nullptr;  // null for the constants of the source
  int64_t charged = 0;
  int depth = 0;
};

struct Text;
struct Sequence;
struct Dict;
struct Namespace;
struct Callable;
class Interpreter;

class Value {
 public:
  Value() = default;  // undefined
  Value(Kind kind, std::shared_ptr<Object> object) : kind_(kind), object_(std::move(object)) {}
  static Value none() { return Value(Kind::kNone, nullptr); }
  static Value boolean(bool v) {
    Value out(Kind::kBool, nullptr);
    out.integer_ = v;
    return out;
  }
  static Value integer(int64_t v) {
    Value out(Kind::kInt, nullptr);
    out.integer_ = v;
    return out;
  }
  static Value real(double v) {
    Value out(Kind::kFloat, nullptr);
    out.real_ = v;
    return out;
  }

  Kind kind() const { return kind_; }
  bool is(Kind kind) const { return kind_ == kind; }
  bool is_integer() const { return is(Kind::kInt) || is(Kind::kBool); }  // as Python counts bool
  bool is_number() const { return is_integer() || is(Kind::kFloat); }
  bool is_sequence() const { return kind_ >= Kind::kList && kind_ <= Kind::kGenerator; }

  // Each for its kinds alone.
  int64_t to_int() const { return integer_; }
  double to_real() const { return is(Kind::kFloat) ? real_ : static_cast<double>(integer_); }
  const std::string& text() const;
  const Text& text_object() const;
  Sequence& sequence() const;
  Dict& dict() const;  // of a dict or a namespace
  Callable& callable() const;
  const std::shared_ptr<Object>& object() const { return object_; }
  int depth() const { return object_ ? object_->depth : 0; }

 private:
  Kind kind_ = Kind::kUndefined;
  union {
    int64_t integer_ = 0;
    double real_;
  };
  std::shared_ptr<Object> object_;
};

// UTF-8, always well formed.
struct Text : Object {
  std::string text;
  int64_t chars = 0;
  bool ascii() const { return chars == static_cast<int64_t>(text.size()); }
};
struct Undefined : Object {
  std::string message;  // why using it is an error
};
struct Sequence : Object {
  std::vector<Value> items;
  const char* name = "";                  // of a view: "dict_items"; of a generator: the filter's
  bool group = false;                     // groupby's pairs have names: grouper, list
  int64_t start = 0, stop = 0, step = 1;  // of a range
};
struct Dict : Object {
  // Looks up by equality as Python has it: 1, 1.0 and True are one key. An error where the key is
  // unhashable.
  Result<const Value*> find(Budget& budget, const Value& key) const;
  const Value* find(const std::string& key) const;
  Status put(Budget& budget, Value key, Value value);
  void clear() override {
    entries.clear();
    places.clear();
  }
  std::vector<std::pair<Value, Value>> entries;  // in order of insertion
  std::unordered_map<std::string, size_t> places;
};

// What {% set space.name = value %} changes.
struct Namespace : Dict {};

struct Arguments {
  std::vector<Value> positional;
  std::vector<std::pair<std::string, Value>> named;
};
struct Callable : Object {
  std::string name;
  bool macro = false;
  std::function<Result<Value>(Interpreter&, Arguments)> body;
};

// Makers, which count what they make.
Result<Value> make_text(Budget& budget, std::string text);
Result<Value> make_sequence(Budget& budget, Kind kind, std::vector<Value> items,
                            const char* name = "");
Result<Value> make_dict(Budget& budget, std::vector<std::pair<Value, Value>> entries);
Result<Value> make_callable(Budget& budget, std::string name, int depth,
                            std::function<Result<Value>(Interpreter&, Arguments)> body);
Value make_undefined(std::string message);
// What an error says where this undefined value is used.
std::string why_undefined(const Value& value);
// A text that belongs to the source and is not counted.
Value make_constant(std::string text);
Result<Value> from_json(Budget& budget, const Json& json);

// Hands the object's cost to the budget.
Status charge(Budget& budget, Object& object, int64_t bytes);

// Python's name for the type: "str", "NoneType".
const char* type_name(const Value& value);
bool truth(const Value& value);
Result<int64_t> length_of(const Value& value);
// What a for loop visits: characters, items, keys. A generator is empty afterwards.
Result<std::vector<Value>> iterate(Budget& budget, const Value& value);

}  // namespace nibble::jinja
