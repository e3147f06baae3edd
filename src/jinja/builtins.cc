#include "jinja/builtins.h"

#include <algorithm>

#include "jinja/print.h"

namespace nibble::jinja {

Status Call::bind(std::initializer_list<const char*> parameters, size_t required) {
  bound_.assign(parameters.size(), std::nullopt);
  if (arguments.positional.size() > parameters.size())
    return fail("{}() takes at most {} argument(s) ({} given)", name, parameters.size(),
                arguments.positional.size());
  for (size_t i = 0; i < arguments.positional.size(); ++i)
    bound_[i] = std::move(arguments.positional[i]);
  for (auto& [key, value] : arguments.named) {
    auto it =
        std::find_if(parameters.begin(), parameters.end(), [&](const char* p) { return key == p; });
    auto i = static_cast<size_t>(it - parameters.begin());
    if (it == parameters.end())
      return fail("{}() got an unexpected keyword argument '{}'", name, key);
    if (bound_[i]) return fail("{}() got multiple values for argument '{}'", name, key);
    bound_[i] = std::move(value);
  }
  for (size_t i = 0; i < required; ++i)
    if (!bound_[i]) return fail("{}() missing required argument '{}'", name, parameters.begin()[i]);
  return {};
}

Result<std::string> Call::text(size_t i) const {
  if (bound_[i]->is(Kind::kText)) return bound_[i]->text();
  return fail("{}() argument {} must be str, not {}", name, i + 1, type_name(*bound_[i]));
}
Result<std::string> Call::text_or(size_t i, std::string otherwise) const {
  if (!has(i)) return otherwise;
  return text(i);
}
Result<int64_t> Call::integer(size_t i) const {
  if (bound_[i]->is_integer()) return bound_[i]->to_int();
  return fail("{}() argument {} must be int, not {}", name, i + 1, type_name(*bound_[i]));
}
Result<int64_t> Call::integer_or(size_t i, int64_t otherwise) const {
  if (!has(i)) return otherwise;
  return integer(i);
}

Result<Value> invoke(Interpreter& in, const Builtin& builtin, const Value& self,
                     Arguments arguments) {
  Nested nested(in.budget());
  NB_OK(nested.status);
  Call call(in, builtin.name, self, std::move(arguments));
  return builtin.function(call);
}

const Builtin* find_builtin(std::span<const Builtin> table, std::string_view name) {
  for (const Builtin& b : table)
    if (name == b.name) return &b;
  return nullptr;
}

const Builtin* find_filter(std::string_view name) {
  for (auto table : {text_filters(), list_filters(), pick_filters(), value_filters()})
    if (const Builtin* b = find_builtin(table, name)) return b;
  return nullptr;
}

const Builtin* find_test(std::string_view name) { return find_builtin(all_tests(), name); }

const Builtin* find_method(const Value& object, std::string_view name) {
  switch (object.kind()) {
    case Kind::kText:
      if (const Builtin* b = find_builtin(text_methods(), name)) return b;
      return find_builtin(text_search_methods(), name);
    case Kind::kList:
    case Kind::kTuple:
      return find_builtin(list_methods(), name);
    case Kind::kDict:
      return find_builtin(dict_methods(), name);
    default:
      return nullptr;
  }
}

bool is_changing_method(const Value& object, std::string_view name) {
  auto among = [name](std::initializer_list<std::string_view> names) {
    return std::find(names.begin(), names.end(), name) != names.end();
  };
  if (object.is(Kind::kList))
    return among({"append", "clear", "pop", "reverse", "insert", "sort", "extend", "remove"});
  return object.is(Kind::kDict) && among({"clear", "pop", "popitem", "setdefault", "update"});
}

Result<Value> Interpreter::filter(const std::string& name, const Value& input,
                                  Arguments arguments) {
  const Builtin* found = find_filter(name);
  if (!found) return fail("No filter named '{}'.", name);
  return invoke(*this, *found, input, std::move(arguments));
}

Result<bool> Interpreter::test(const std::string& name, const Value& input, Arguments arguments) {
  const Builtin* found = find_test(name);
  if (!found) return fail("No test named '{}'.", name);
  return truth(NB_TRY(invoke(*this, *found, input, std::move(arguments))));
}

Result<Value> dotted_attribute(Interpreter& in, const Value& value, const Value& path) {
  if (path.is_integer()) return in.item(value, path);
  if (!path.is(Kind::kText)) return fail("an attribute is a text or a number");
  Value at = value;
  const std::string& names = path.text();
  for (size_t begin = 0; begin <= names.size();) {
    size_t end = std::min(names.find('.', begin), names.size());
    std::string name = names.substr(begin, end - begin);
    bool number =
        !name.empty() && name.size() < 18 && name.find_first_not_of("0123456789") == name.npos;
    NB_OK(in.budget().step());
    Value key = number ? Value::integer(std::stoll(name)) : NB_TRY(make_text(in.budget(), name));
    at = NB_TRY(in.item(at, key));
    begin = end + 1;
  }
  return at;
}

Result<Value> sort_key(Interpreter& in, const Value& value, const Value& path,
                       bool case_sensitive) {
  Value key = path.is(Kind::kNone) || path.is(Kind::kUndefined)
                  ? value
                  : NB_TRY(dotted_attribute(in, value, path));
  if (case_sensitive || !key.is(Kind::kText)) return key;
  return make_text(in.budget(), lower_text(key.text()));
}

}  // namespace nibble::jinja
