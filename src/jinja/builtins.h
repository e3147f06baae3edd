// What templates can name: filters, tests, methods, functions. Each is one function and one line in
// the table at the end of its file.
#pragma once

#include <initializer_list>
#include <optional>
#include <span>
#include <string_view>

#include "jinja/interpreter.h"

namespace nibble::jinja {

// One call of a builtin.
class Call {
 public:
  Call(Interpreter& interpreter, const char* name, const Value& self, Arguments arguments)
      : in(interpreter), name(name), self(self), arguments(std::move(arguments)) {}

  // Sorts the arguments under their parameters' names; the first `required` must be given.
  Status bind(std::initializer_list<const char*> parameters, size_t required = 0);
  // After bind: what was given for parameter i.
  bool has(size_t i) const { return bound_[i].has_value(); }
  const Value& operator[](size_t i) const { return *bound_[i]; }
  Value value_or(size_t i, Value otherwise) const { return has(i) ? *bound_[i] : otherwise; }
  // Of the kind asked for, or an error.
  Result<std::string> text(size_t i) const;
  Result<std::string> text_or(size_t i, std::string otherwise) const;
  Result<int64_t> integer(size_t i) const;
  Result<int64_t> integer_or(size_t i, int64_t otherwise) const;
  bool flag(size_t i, bool otherwise = false) const {
    return has(i) ? truth((*this)[i]) : otherwise;
  }

  Budget& budget() { return in.budget(); }
  Result<Value> made(std::string text) { return make_text(in.budget(), std::move(text)); }

  Interpreter& in;
  const char* name;
  const Value& self;  // what stands before the bar, the dot or "is"; undefined for a function
  Arguments arguments;

 private:
  std::vector<std::optional<Value>> bound_;
};

struct Builtin {
  const char* name;
  Result<Value> (*function)(Call& call);
};

Result<Value> invoke(Interpreter& in, const Builtin& builtin, const Value& self,
                     Arguments arguments);
const Builtin* find_builtin(std::span<const Builtin> table, std::string_view name);

// The tables.
std::span<const Builtin> text_filters();
std::span<const Builtin> list_filters();
std::span<const Builtin> pick_filters();
std::span<const Builtin> value_filters();
std::span<const Builtin> all_tests();
std::span<const Builtin> text_methods();
std::span<const Builtin> text_search_methods();
std::span<const Builtin> list_methods();
std::span<const Builtin> dict_methods();
std::span<const Builtin> all_functions();

const Builtin* find_filter(std::string_view name);
const Builtin* find_test(std::string_view name);
const Builtin* find_method(const Value& object, std::string_view name);
// Whether Python's method of this name would change the object, which the sandbox forbids.
bool is_changing_method(const Value& object, std::string_view name);
Result<std::optional<Value>> global_function(Interpreter& in, const std::string& name);

Result<std::optional<Value>> loop_attribute(Interpreter& in, const Value& loop,
                                            const std::string& name);
Status set_namespace(Interpreter& in, const Value& space, const Value& name, Value value);

// "form" % values and form.format(values), as Python's (format.cc, format_braces.cc).
Result<Value> format_percent(Interpreter& in, const std::string& form, const Value& values);
Result<Value> format_braces(Interpreter& in, const std::string& form, const Arguments& arguments);
// A value by a format specification: fill, align, sign, 0, width, comma, precision, type.
Result<std::string> format_value(Interpreter& in, const Value& value, std::string_view spec);

// The attribute "a.b.0" of a value, as filters name it.
Result<Value> dotted_attribute(Interpreter& in, const Value& value, const Value& path);
// Sorted by key: what sort, dictsort, groupby, unique, min and max order by.
Result<Value> sort_key(Interpreter& in, const Value& value, const Value& path, bool case_sensitive);

// Text with Unicode's simple case mapping (and German sharp s).
std::string upper_text(std::string_view text);
std::string lower_text(std::string_view text);

}  // namespace nibble::jinja
