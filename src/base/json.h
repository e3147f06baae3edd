// nlohmann::json with typed getters that answer with an Error instead of throwing.
#pragma once

#include <nlohmann/json.hpp>
#include <optional>
#include <string>

#include "base/result.h"

namespace nibble {

using Json = nlohmann::ordered_json;

// Parses UTF-8 text; refuses nesting deeper than 64 and duplicate keys in an object. `what` names
// the source in the error.
Result<Json> parse_json(std::string_view text, const std::string& what);
Result<Json> read_json(const std::string& path);

// Text from a file as messages show it: in quotes, ASCII, control characters escaped, cut where it
// is long. A name made to look like terminal commands or more lines stays one harmless word.
std::string in_quotes(std::string_view text);

// Each getter: the value at `key` of the object, the fallback where it is absent or null, and an
// error naming `what` and `key` where it has another type or an absurd value.
Result<int64_t> get_int(const Json& j, const char* key, std::optional<int64_t> fallback,
                        const std::string& what);
Result<double> get_number(const Json& j, const char* key, std::optional<double> fallback,
                          const std::string& what);
Result<bool> get_bool(const Json& j, const char* key, std::optional<bool> fallback,
                      const std::string& what);
Result<std::string> get_string(const Json& j, const char* key, std::optional<std::string> fallback,
                               const std::string& what);

}  // namespace nibble
