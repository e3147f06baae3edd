// From the source of a template to tokens, as jinja2/lexer.py with trim_blocks and lstrip_blocks.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace nibble::jinja {

struct Token {
  enum class Type : uint8_t {
    kData,   // text between the tags
    kPrint,  // {{
    kPrintEnd,
    kBlock,  // {%
    kBlockEnd,
    kName,
    kText,
    kInteger,
    kReal,
    kOperator,
    kEnd,
  };
  Type type = Type::kEnd;
  std::string text;  // a text's value, a name, an operator, a number's digits
  int line = 1;

  bool is(Type t, std::string_view what) const { return type == t && text == what; }
  bool op(std::string_view what) const { return is(Type::kOperator, what); }
  bool name(std::string_view what) const { return is(Type::kName, what); }
};

// The last token is kEnd. The source is UTF-8.
Result<std::vector<Token>> tokenize_template(std::string_view source);

}  // namespace nibble::jinja
