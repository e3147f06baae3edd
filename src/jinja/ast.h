// A parsed template.
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "jinja/value.h"

namespace nibble::jinja {

struct Expr;
using ExprPtr = std::unique_ptr<Expr>;

struct CallArguments {
  std::vector<ExprPtr> positional;
  std::vector<std::pair<std::string, ExprPtr>> named;
  ExprPtr star, star_star;  // *list and **dict, may be null
};

struct Expr {
  enum class Kind : uint8_t {
    kConstant,   // value
    kName,       // text
    kTuple,      // parts
    kList,       // parts
    kDict,       // parts: key, value, key, value...
    kCondition,  // parts: test, then, otherwise (may be null)
    kOr,         // parts: left, right
    kAnd,
    kNot,         // parts: operand
    kCompare,     // parts: operands; operators between them
    kArithmetic,  // text: + - * / // % **; parts: left, right
    kConcat,      // parts
    kNegative,    // parts: operand
    kPositive,
    kAttribute,     // parts: object; text: name
    kItem,          // parts: object, index
    kSlice,         // parts: start, stop, step, each may be null; only as the index of kItem
    kCall,          // parts: callee; arguments
    kFilter,        // parts: input (null in a filter block); text: name; arguments
    kTest,          // parts: input; text: name; arguments
    kNamespaceRef,  // text "ns.attribute" as a target: text: ns; parts: kConstant attribute
  };
  Kind kind;
  int line = 0;
  std::string text;
  Value value;
  std::vector<ExprPtr> parts;
  std::vector<std::string> operators;
  CallArguments arguments;
};

struct Macro;

struct Statement {
  enum class Kind : uint8_t {
    kText,      // text
    kPrint,     // expressions, one after another
    kIf,        // branches; otherwise
    kFor,       // target in iterable if test (may be null); body; otherwise
    kSet,       // target = iterable
    kSetBlock,  // target = body through filter (may be null)
    kScope,     // body in a scope of its own: generation, block, autoescape
    kWith,      // targets = expressions; body
    kFilter,    // body through filter
    kMacro,     // macro
    kCall,      // macro as the caller of iterable, a call
    kBreak,
    kContinue,
  };
  Kind kind = Kind::kText;
  int line = 0;
  std::string text = {};
  bool recursive = false;
  ExprPtr target = {}, iterable = {}, test = {}, filter = {};
  std::vector<ExprPtr> expressions = {}, targets = {};
  std::vector<std::pair<ExprPtr, std::vector<Statement>>> branches = {};
  std::vector<Statement> body = {}, otherwise = {};
  std::shared_ptr<Macro> macro = {};
};

struct Macro {
  std::string name;
  std::vector<std::string> parameters;
  std::vector<ExprPtr> defaults;  // of the last parameters
  std::vector<Statement> body;
  bool uses_varargs = false, uses_kwargs = false, uses_caller = false;
};

}  // namespace nibble::jinja
