// Runs a parsed template. Python's semantics where Jinja has them, within a budget.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "jinja/ast.h"

namespace nibble::jinja {

// The variables of one block; what is not found here is the parent's.
struct Scope : Object {
  std::map<std::string, Value, std::less<>> variables;
  std::shared_ptr<Scope> parent;
  void clear() override {
    variables.clear();
    parent.reset();
  }
};
using ScopePtr = std::shared_ptr<Scope>;

// The variable "loop".
struct Loop : Object {
  std::vector<Value> items;
  size_t at = 0;
  int64_t depth0 = 0;                    // of recursive loops around this one
  const Statement* recursive = nullptr;  // what calling it repeats
  ScopePtr scope;
  Value seen;  // by changed()
  void clear() override { seen = Value(); }
};

// Text on its way out of a template or a macro.
class Output {
 public:
  explicit Output(Budget& budget) : budget_(budget) {}
  ~Output() { budget_.release(held_); }
  Output(const Output&) = delete;
  Output& operator=(const Output&) = delete;
  Status append(std::string_view part);
  std::string take() { return std::move(text_); }

 private:
  Budget& budget_;
  std::string text_;
  int64_t held_ = 0;
};

class Interpreter {
 public:
  // `date`: seconds since 1970 of what strftime_now tells, in local time.
  Interpreter(const Limits& limits, int64_t date) : budget_(limits), date_(date) {}
  ~Interpreter();
  Interpreter(const Interpreter&) = delete;
  Interpreter& operator=(const Interpreter&) = delete;

  // `variables`: a JSON object.
  Result<std::string> render(const std::vector<Statement>& body, const Json& variables);

  Budget& budget() { return budget_; }
  int64_t date() const { return date_; }
  // Makes sure that the object is cleared at the end: it may lead back to itself.
  Status keep(std::shared_ptr<Object> object);

  Result<Value> call(const Value& callee, Arguments arguments);
  Result<Value> filter(const std::string& name, const Value& input, Arguments arguments);
  Result<bool> test(const std::string& name, const Value& input, Arguments arguments);
  // The attribute, a bound method, or an undefined value.
  Result<Value> attribute(const Value& object, const std::string& name);
  Result<Value> item(const Value& object, const Value& index);

 private:
  enum class Flow : uint8_t { kGo, kBreak, kContinue };

  // Statements (interpreter.cc).
  Result<Flow> run(const std::vector<Statement>& body, const ScopePtr& scope, Output& out);
  Result<Flow> run_one(const Statement& s, const ScopePtr& scope, Output& out);
  Result<Flow> run_if(const Statement& s, const ScopePtr& scope, Output& out);
  Result<Flow> run_for(const Statement& s, const ScopePtr& scope, Output& out);
  Status run_loop(const Statement& s, const Value& over, int64_t depth0, const ScopePtr& scope,
                  Output& out);
  Result<std::vector<Value>> loop_items(const Statement& s, const Value& over,
                                        const ScopePtr& scope);
  Status run_with(const Statement& s, const ScopePtr& scope, Output& out);
  Status run_call(const Statement& s, const ScopePtr& scope, Output& out);
  Result<Value> run_captured(const Statement& s, const ScopePtr& scope);
  Status assign(const Expr& target, Value value, const ScopePtr& scope);
  Result<Value> make_macro(const std::shared_ptr<Macro>& macro, const ScopePtr& scope);
  Result<Value> call_macro(const Macro& macro, const ScopePtr& scope, Arguments arguments);
  Status bind_parameters(const Macro& macro, const ScopePtr& inner, Arguments& arguments);
  Result<Value> call_loop(Loop& loop, Arguments arguments);

  // Expressions (evaluate.cc).
  Result<Value> evaluate(const Expr& e, const ScopePtr& scope);
  Result<Value> evaluate_inner(const Expr& e, const ScopePtr& scope);
  Result<Value> look_up(const std::string& name, const ScopePtr& scope);
  Result<std::vector<Value>> evaluate_all(const std::vector<ExprPtr>& parts, const ScopePtr& scope);
  Result<Value> evaluate_dict(const Expr& e, const ScopePtr& scope);
  Result<Value> evaluate_compare(const Expr& e, const ScopePtr& scope);
  Result<Value> evaluate_concat(const Expr& e, const ScopePtr& scope);
  Result<Value> evaluate_item(const Expr& e, const ScopePtr& scope);
  Result<Value> evaluate_filter(const Expr& e, const ScopePtr& scope, const Value* block);
  Result<Value> apply_filters(const Expr* e, const ScopePtr& scope, Value input);
  Result<Arguments> evaluate_arguments(const CallArguments& arguments, const ScopePtr& scope);

  Budget budget_;
  int64_t date_;
  std::vector<std::shared_ptr<Object>> kept_;
};

// a op b for + - * / // % **, and -a or +a (operators.cc).
Result<Value> arithmetic(Interpreter& in, const std::string& op, const Value& a, const Value& b);
Result<Value> negate(const Value& a, bool negative);
// start, stop, step: whole numbers or none.
Result<Value> slice(Interpreter& in, const Value& object, const Value& start, const Value& stop,
                    const Value& step);

}  // namespace nibble::jinja
