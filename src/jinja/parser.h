// From tokens to statements, as jinja2/parser.py.
#pragma once

#include <string_view>
#include <vector>

#include "jinja/ast.h"

namespace nibble::jinja {

// A syntax error names its line.
Result<std::vector<Statement>> parse_template(std::string_view source);

}  // namespace nibble::jinja
