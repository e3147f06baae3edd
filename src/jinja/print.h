// Values as text: as a template prints them, as Python's repr shows them, and as JSON.
#pragma once

#include <optional>

#include "jinja/value.h"

namespace nibble::jinja {

// What {{ value }} writes.
Result<std::string> to_text(Budget& budget, const Value& value);
Result<std::string> to_repr(Budget& budget, const Value& value);
// The shortest digits that read back the same, as Python writes them: 1.0, 1e-07, inf.
std::string real_text(double value);

// json.dumps' options.
struct JsonStyle {
  bool ensure_ascii = false;
  std::optional<std::string> indent;  // nothing: all on one line
  std::string item_separator = ", ", key_separator = ": ";
  bool sort_keys = false;
};
Result<std::string> to_json(Budget& budget, const Value& value, const JsonStyle& style);

}  // namespace nibble::jinja
