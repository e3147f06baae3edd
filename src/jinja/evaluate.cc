#include "jinja/builtins.h"
#include "jinja/compare.h"
#include "jinja/interpreter.h"
#include "jinja/print.h"

namespace nibble::jinja {

Result<Value> Interpreter::evaluate(const Expr& e, const ScopePtr& scope) {
  if (e.kind == Expr::Kind::kConstant) return e.value;
  Nested nested(budget_);
  NB_OK(nested.status);
  NB_OK(budget_.step());
  return evaluate_inner(e, scope);
}

Result<Value> Interpreter::evaluate_inner(const Expr& e, const ScopePtr& scope) {
  using K = Expr::Kind;
  auto part = [&](size_t i) { return evaluate(*e.parts[i], scope); };
  switch (e.kind) {
    case K::kConstant:
      return e.value;
    case K::kName:
      return look_up(e.text, scope);
    case K::kTuple:
      return make_sequence(budget_, Kind::kTuple, NB_TRY(evaluate_all(e.parts, scope)));
    case K::kList:
      return make_sequence(budget_, Kind::kList, NB_TRY(evaluate_all(e.parts, scope)));
    case K::kDict:
      return evaluate_dict(e, scope);
    case K::kCondition:
      if (truth(NB_TRY(part(0)))) return part(1);
      if (e.parts[2]) return part(2);
      return make_undefined(
          "the inline if-expression evaluated to false and no else section was defined.");
    case K::kOr:
    case K::kAnd: {
      Value value = NB_TRY(part(0));
      for (size_t i = 1; i < e.parts.size() && truth(value) == (e.kind == K::kAnd); ++i)
        value = NB_TRY(part(i));
      return value;
    }
    case K::kNot:
      return Value::boolean(!truth(NB_TRY(part(0))));
    case K::kCompare:
      return evaluate_compare(e, scope);
    case K::kArithmetic: {
      Value left = NB_TRY(part(0));
      return arithmetic(*this, e.text, left, NB_TRY(part(1)));
    }
    case K::kConcat:
      return evaluate_concat(e, scope);
    case K::kNegative:
    case K::kPositive:
      return negate(NB_TRY(part(0)), e.kind == K::kNegative);
    case K::kAttribute:
      return attribute(NB_TRY(part(0)), e.text);
    case K::kItem:
      return evaluate_item(e, scope);
    case K::kSlice:
      return fail("a slice stands among several subscripts");
    case K::kCall: {
      Value callee = NB_TRY(part(0));
      return call(callee, NB_TRY(evaluate_arguments(e.arguments, scope)));
    }
    case K::kFilter:
      return evaluate_filter(e, scope, nullptr);
    case K::kTest: {
      Value input = NB_TRY(part(0));
      return Value::boolean(
          NB_TRY(test(e.text, input, NB_TRY(evaluate_arguments(e.arguments, scope)))));
    }
    case K::kNamespaceRef:
      break;  // a target, never a value
  }
  return Value();
}

Result<Value> Interpreter::look_up(const std::string& name, const ScopePtr& scope) {
  int64_t hops = 0;
  for (const Scope* s = scope.get(); s; s = s->parent.get(), ++hops)
    if (auto it = s->variables.find(name); it != s->variables.end()) return it->second;
  NB_OK(budget_.step(hops / 4));
  if (std::optional<Value> global = NB_TRY(global_function(*this, name))) return *global;
  return make_undefined(fmt::format("'{}' is undefined", name));
}

Result<std::vector<Value>> Interpreter::evaluate_all(const std::vector<ExprPtr>& parts,
                                                     const ScopePtr& scope) {
  std::vector<Value> out;
  for (const ExprPtr& part : parts) out.push_back(NB_TRY(evaluate(*part, scope)));
  return out;
}

Result<Value> Interpreter::evaluate_dict(const Expr& e, const ScopePtr& scope) {
  std::vector<std::pair<Value, Value>> entries;
  for (size_t i = 0; i + 1 < e.parts.size(); i += 2) {
    Value key = NB_TRY(evaluate(*e.parts[i], scope));
    entries.emplace_back(std::move(key), NB_TRY(evaluate(*e.parts[i + 1], scope)));
  }
  return make_dict(budget_, std::move(entries));
}

Result<Value> Interpreter::evaluate_compare(const Expr& e, const ScopePtr& scope) {
  Value left = NB_TRY(evaluate(*e.parts[0], scope));
  for (size_t i = 0; i < e.operators.size(); ++i) {
    Value right = NB_TRY(evaluate(*e.parts[i + 1], scope));
    const std::string& op = e.operators[i];
    bool holds = op == "in"       ? NB_TRY(contains(budget_, right, left))
                 : op == "not in" ? !NB_TRY(contains(budget_, right, left))
                                  : NB_TRY(compare_by(budget_, op, left, right));
    if (!holds) return Value::boolean(false);
    left = std::move(right);
  }
  return Value::boolean(true);
}

Result<Value> Interpreter::evaluate_concat(const Expr& e, const ScopePtr& scope) {
  std::string out;
  for (const Value& part : NB_TRY(evaluate_all(e.parts, scope))) {
    out += NB_TRY(to_text(budget_, part));
    NB_OK(budget_.check_output(out.size()));
  }
  return make_text(budget_, std::move(out));
}

Result<Value> Interpreter::evaluate_item(const Expr& e, const ScopePtr& scope) {
  Value object = NB_TRY(evaluate(*e.parts[0], scope));
  const Expr& index = *e.parts[1];
  if (index.kind != Expr::Kind::kSlice) return item(object, NB_TRY(evaluate(index, scope)));
  Value bounds[3];
  for (size_t i = 0; i < 3; ++i)
    bounds[i] = index.parts[i] ? NB_TRY(evaluate(*index.parts[i], scope)) : Value::none();
  return slice(*this, object, bounds[0], bounds[1], bounds[2]);
}

Result<Value> Interpreter::evaluate_filter(const Expr& e, const ScopePtr& scope,
                                           const Value* block) {
  Value input = e.parts[0] ? e.parts[0]->kind == Expr::Kind::kFilter
                                 ? NB_TRY(evaluate_filter(*e.parts[0], scope, block))
                                 : NB_TRY(evaluate(*e.parts[0], scope))
                           : *block;
  return filter(e.text, input, NB_TRY(evaluate_arguments(e.arguments, scope)));
}

Result<Value> Interpreter::apply_filters(const Expr* e, const ScopePtr& scope, Value input) {
  if (!e) return input;
  return evaluate_filter(*e, scope, &input);
}

Result<Arguments> Interpreter::evaluate_arguments(const CallArguments& arguments,
                                                  const ScopePtr& scope) {
  Arguments out;
  out.positional = NB_TRY(evaluate_all(arguments.positional, scope));
  for (const auto& [name, value] : arguments.named)
    out.named.emplace_back(name, NB_TRY(evaluate(*value, scope)));
  if (arguments.star) {
    Value list = NB_TRY(evaluate(*arguments.star, scope));
    for (Value& v : NB_TRY(iterate(budget_, list))) out.positional.push_back(std::move(v));
  }
  if (arguments.star_star) {
    Value dict = NB_TRY(evaluate(*arguments.star_star, scope));
    if (!dict.is(Kind::kDict)) return fail("argument after ** must be a mapping");
    for (const auto& [key, value] : dict.dict().entries) {
      if (!key.is(Kind::kText)) return fail("keywords must be strings");
      out.named.emplace_back(key.text(), value);
    }
    NB_OK(budget_.step(static_cast<int64_t>(out.named.size())));
  }
  return out;
}

Result<Value> Interpreter::attribute(const Value& object, const std::string& name) {
  if (object.is(Kind::kUndefined)) return fail("{}", why_undefined(object));
  if (const Builtin* method = find_method(object, name)) {
    auto body = [method, object](Interpreter& in, Arguments arguments) {
      return invoke(in, *method, object, std::move(arguments));
    };
    return make_callable(budget_, name, object.depth(), std::move(body));
  }
  if (is_changing_method(object, name))
    return make_undefined(
        fmt::format("access to attribute '{}' of '{}' object is unsafe.", name, type_name(object)));
  if (object.is(Kind::kLoop))
    if (auto v = NB_TRY(loop_attribute(*this, object, name))) return *v;
  if (object.is(Kind::kDict) || object.is(Kind::kNamespace))
    if (const Value* v = object.dict().find(name)) return *v;
  if (object.is(Kind::kTuple) && object.sequence().group && (name == "grouper" || name == "list"))
    return object.sequence().items[name == "list"];
  if (object.is(Kind::kCallable) && object.callable().macro && name == "name")
    return make_text(budget_, object.callable().name);
  const char* type = type_name(object);
  if (object.is(Kind::kNone))
    return make_undefined(fmt::format("'None' has no attribute '{}'", name));
  return make_undefined(fmt::format("'{} object' has no attribute '{}'", type, name));
}

Result<Value> Interpreter::item(const Value& object, const Value& index) {
  if (object.is(Kind::kUndefined)) return fail("{}", why_undefined(object));
  if (object.is(Kind::kDict)) {
    auto found = object.dict().find(budget_, index);
    if (found && *found) return **found;  // an unhashable key is as absent as any other
  }
  bool indexed = object.is(Kind::kText) || object.is(Kind::kList) || object.is(Kind::kTuple) ||
                 object.is(Kind::kRange);
  if (indexed && index.is_integer()) {
    int64_t at = index.to_int(), count = NB_TRY(length_of(object));
    if (at < 0) at += count;
    if (at >= 0 && at < count) {
      if (!object.is(Kind::kText)) return object.sequence().items[static_cast<size_t>(at)];
      return slice(*this, object, Value::integer(at), Value::integer(at + 1), Value::none());
    }
  }
  if (index.is(Kind::kText)) return attribute(object, index.text());
  return make_undefined(fmt::format("'{} object' has no element {}", type_name(object),
                                    NB_TRY(to_repr(budget_, index))));
}

}  // namespace nibble::jinja
