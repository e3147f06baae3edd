#include "jinja/interpreter.h"

#include "jinja/builtins.h"
#include "jinja/print.h"

namespace nibble::jinja {
namespace {

ScopePtr inside(const ScopePtr& parent) {
  auto scope = std::make_shared<Scope>();
  scope->parent = parent;
  return scope;
}

// The innermost statement's line stands before the message.
std::unexpected<Error> at_line(Error error, int line) {
  if (!error.message.starts_with("line "))
    error.message = fmt::format("line {}: {}", line, error.message);
  return std::unexpected(std::move(error));
}

}  // namespace

Status Output::append(std::string_view part) {
  NB_OK(budget_.work(part.size()));
  NB_OK(budget_.check_output(text_.size() + part.size()));
  held_ += static_cast<int64_t>(part.size());
  NB_OK(budget_.hold(static_cast<int64_t>(part.size())));
  text_ += part;
  return {};
}

Interpreter::~Interpreter() {
  for (const auto& object : kept_) object->clear();
}

Status Interpreter::keep(std::shared_ptr<Object> object) {
  constexpr int64_t kScope = 512;
  if (!object->budget) NB_OK(charge(budget_, *object, kScope));
  kept_.push_back(std::move(object));
  return {};
}

Result<std::string> Interpreter::render(const std::vector<Statement>& body, const Json& variables) {
  auto root = std::make_shared<Scope>();
  for (const auto& [name, value] : variables.items()) {
    Value given = NB_TRY(from_json(budget_, value));
    if (name == "strftime_now" && given.is(Kind::kText))
      given = NB_TRY(make_callable(budget_, name, 0, [given](Interpreter&, const Arguments&) {
        return Result<Value>(given);
      }));
    root->variables[name] = std::move(given);
  }
  Output out(budget_);
  NB_TRY(run(body, root, out));
  return out.take();
}

Result<Interpreter::Flow> Interpreter::run(const std::vector<Statement>& body,
                                           const ScopePtr& scope, Output& out) {
  Nested nested(budget_);
  NB_OK(nested.status);
  for (const Statement& s : body) {
    NB_OK(budget_.step());
    auto flow = run_one(s, scope, out);
    if (!flow) return at_line(std::move(flow).error(), s.line);
    if (*flow != Flow::kGo) return *flow;
  }
  return Flow::kGo;
}

Result<Interpreter::Flow> Interpreter::run_one(const Statement& s, const ScopePtr& scope,
                                               Output& out) {
  using K = Statement::Kind;
  switch (s.kind) {
    case K::kText:
      NB_OK(out.append(s.text));
      break;
    case K::kPrint:
      for (const ExprPtr& e : s.expressions)
        NB_OK(out.append(NB_TRY(to_text(budget_, NB_TRY(evaluate(*e, scope))))));
      break;
    case K::kIf:
      return run_if(s, scope, out);
    case K::kFor:
      return run_for(s, scope, out);
    case K::kSet:
      NB_OK(assign(*s.target, NB_TRY(evaluate(*s.iterable, scope)), scope));
      break;
    case K::kSetBlock:
      NB_OK(assign(*s.target, NB_TRY(run_captured(s, scope)), scope));
      break;
    case K::kScope:
      return run(s.body, inside(scope), out);
    case K::kWith:
      NB_OK(run_with(s, scope, out));
      break;
    case K::kFilter:
      NB_OK(out.append(NB_TRY(to_text(budget_, NB_TRY(run_captured(s, scope))))));
      break;
    case K::kMacro:
      scope->variables[s.macro->name] = NB_TRY(make_macro(s.macro, scope));
      break;
    case K::kCall:
      NB_OK(run_call(s, scope, out));
      break;
    case K::kBreak:
      return Flow::kBreak;
    case K::kContinue:
      return Flow::kContinue;
  }
  return Flow::kGo;
}

Result<Interpreter::Flow> Interpreter::run_if(const Statement& s, const ScopePtr& scope,
                                              Output& out) {
  for (const auto& [test, body] : s.branches)
    if (truth(NB_TRY(evaluate(*test, scope)))) return run(body, scope, out);
  return run(s.otherwise, scope, out);
}

Result<Interpreter::Flow> Interpreter::run_for(const Statement& s, const ScopePtr& scope,
                                               Output& out) {
  NB_OK(run_loop(s, NB_TRY(evaluate(*s.iterable, scope)), 0, scope, out));
  return Flow::kGo;
}

Result<std::vector<Value>> Interpreter::loop_items(const Statement& s, const Value& over,
                                                   const ScopePtr& scope) {
  std::vector<Value> items = NB_TRY(iterate(budget_, over));
  if (!s.test) return items;
  std::vector<Value> kept;
  for (Value& item : items) {
    ScopePtr trial = inside(scope);
    NB_OK(assign(*s.target, item, trial));
    if (truth(NB_TRY(evaluate(*s.test, trial)))) kept.push_back(std::move(item));
  }
  return kept;
}

Status Interpreter::run_loop(const Statement& s, const Value& over, int64_t depth0,
                             const ScopePtr& scope, Output& out) {
  auto loop = std::make_shared<Loop>();
  loop->items = NB_TRY(loop_items(s, over, scope));
  NB_OK(charge(budget_, *loop, static_cast<int64_t>(loop->items.size() * sizeof(Value))));
  loop->depth = over.depth() + 1;
  loop->depth0 = depth0;
  loop->scope = scope;
  if (s.recursive) loop->recursive = &s;
  for (; loop->at < loop->items.size(); ++loop->at) {
    NB_OK(budget_.step());
    ScopePtr turn = inside(scope);
    turn->variables["loop"] = Value(Kind::kLoop, loop);
    NB_OK(assign(*s.target, loop->items[loop->at], turn));
    if (NB_TRY(run(s.body, turn, out)) == Flow::kBreak) break;
  }
  if (loop->items.empty()) NB_TRY(run(s.otherwise, inside(scope), out));
  return {};
}

Result<Value> Interpreter::call_loop(Loop& loop, Arguments arguments) {
  if (!loop.recursive)
    return fail("The loop must have the 'recursive' marker to be called recursively.");
  if (arguments.positional.size() != 1 || !arguments.named.empty())
    return fail("loop() takes one argument");
  Output out(budget_);
  NB_OK(run_loop(*loop.recursive, arguments.positional[0], loop.depth0 + 1, loop.scope, out));
  return make_text(budget_, out.take());
}

Status Interpreter::run_with(const Statement& s, const ScopePtr& scope, Output& out) {
  ScopePtr inner = inside(scope);
  for (size_t i = 0; i < s.targets.size(); ++i)
    NB_OK(assign(*s.targets[i], NB_TRY(evaluate(*s.expressions[i], scope)), inner));
  NB_TRY(run(s.body, inner, out));
  return {};
}

Status Interpreter::run_call(const Statement& s, const ScopePtr& scope, Output& out) {
  Arguments arguments = NB_TRY(evaluate_arguments(s.iterable->arguments, scope));
  arguments.named.emplace_back("caller", NB_TRY(make_macro(s.macro, scope)));
  Value callee = NB_TRY(evaluate(*s.iterable->parts[0], scope));
  return out.append(NB_TRY(to_text(budget_, NB_TRY(call(callee, std::move(arguments))))));
}

// The body's text through the statement's filters.
Result<Value> Interpreter::run_captured(const Statement& s, const ScopePtr& scope) {
  Output out(budget_);
  NB_TRY(run(s.body, inside(scope), out));
  return apply_filters(s.filter.get(), scope, NB_TRY(make_text(budget_, out.take())));
}

Status Interpreter::assign(const Expr& target, Value value, const ScopePtr& scope) {
  if (target.kind == Expr::Kind::kName) {
    scope->variables[target.text] = std::move(value);
    return {};
  }
  if (target.kind == Expr::Kind::kNamespaceRef) {
    Value space = NB_TRY(look_up(target.text, scope));
    if (!space.is(Kind::kNamespace)) return fail("cannot assign attribute on non-namespace object");
    return set_namespace(*this, space, target.parts[0]->value, std::move(value));
  }
  std::vector<Value> items = NB_TRY(iterate(budget_, value));
  if (items.size() < target.parts.size())
    return fail("not enough values to unpack (expected {}, got {})", target.parts.size(),
                items.size());
  if (items.size() > target.parts.size())
    return fail("too many values to unpack (expected {})", target.parts.size());
  for (size_t i = 0; i < items.size(); ++i)
    NB_OK(assign(*target.parts[i], std::move(items[i]), scope));
  return {};
}

Result<Value> Interpreter::make_macro(const std::shared_ptr<Macro>& macro, const ScopePtr& scope) {
  NB_OK(keep(scope));
  auto body = [macro, scope](Interpreter& in, Arguments arguments) {
    return in.call_macro(*macro, scope, std::move(arguments));
  };
  Value made = NB_TRY(make_callable(budget_, macro->name, 0, std::move(body)));
  made.callable().macro = true;
  return made;
}

// A parameter takes the next positional argument, else the named one, else its default.
Status Interpreter::bind_parameters(const Macro& macro, const ScopePtr& inner, Arguments& given) {
  size_t count = macro.parameters.size(), first_default = count - macro.defaults.size();
  for (size_t i = 0; i < count; ++i) {
    const std::string& name = macro.parameters[i];
    auto named = std::find_if(given.named.begin(), given.named.end(),
                              [&](const auto& a) { return a.first == name; });
    Value& variable = inner->variables[name];
    if (i < given.positional.size()) {
      variable = given.positional[i];
    } else if (named != given.named.end()) {
      variable = std::move(named->second);
      given.named.erase(named);
    } else if (i >= first_default) {
      variable = NB_TRY(evaluate(*macro.defaults[i - first_default], inner));
    } else {
      variable = make_undefined(fmt::format("parameter '{}' was not provided", name));
    }
  }
  return {};
}

Result<Value> Interpreter::call_macro(const Macro& macro, const ScopePtr& scope, Arguments given) {
  ScopePtr inner = inside(scope);
  NB_OK(bind_parameters(macro, inner, given));
  size_t count = macro.parameters.size();
  auto caller = std::find_if(given.named.begin(), given.named.end(),
                             [](const auto& a) { return a.first == "caller"; });
  if (macro.uses_caller && !inner->variables.contains("caller")) {
    bool has = caller != given.named.end();
    inner->variables["caller"] = has ? caller->second : make_undefined("No caller defined");
    if (has) given.named.erase(caller);
  }
  if (macro.uses_kwargs) {
    std::vector<std::pair<Value, Value>> rest;
    for (auto& [name, value] : given.named)
      rest.emplace_back(NB_TRY(make_text(budget_, name)), std::move(value));
    inner->variables["kwargs"] = NB_TRY(make_dict(budget_, std::move(rest)));
  } else if (!given.named.empty()) {
    return fail("macro '{}' takes no keyword argument '{}'", macro.name, given.named[0].first);
  }
  if (macro.uses_varargs) {
    std::vector<Value> rest;
    for (size_t i = count; i < given.positional.size(); ++i)
      rest.push_back(std::move(given.positional[i]));
    inner->variables["varargs"] = NB_TRY(make_sequence(budget_, Kind::kTuple, std::move(rest)));
  } else if (given.positional.size() > count) {
    return fail("macro '{}' takes not more than {} argument(s)", macro.name, count);
  }
  Output out(budget_);
  NB_TRY(run(macro.body, inner, out));
  return make_text(budget_, out.take());
}

Result<Value> Interpreter::call(const Value& callee, Arguments arguments) {
  Nested nested(budget_);
  NB_OK(nested.status);
  NB_OK(budget_.step());
  if (callee.is(Kind::kCallable)) {
    Value alive = callee;  // what runs may overwrite the variable that held it
    return alive.callable().body(*this, std::move(arguments));
  }
  if (callee.is(Kind::kLoop)) {
    auto alive = callee.object();
    return call_loop(static_cast<Loop&>(*alive), std::move(arguments));
  }
  if (callee.is(Kind::kUndefined)) return fail("{}", why_undefined(callee));
  return fail("'{}' object is not callable", type_name(callee));
}

}  // namespace nibble::jinja
