// Fields of a task's items.
#pragma once

#include <string>
#include <vector>

#include "base/json.h"

namespace nibble {

// A member that must be there, as text.
inline Result<std::string> text_field(const Json& item, const char* key, const std::string& what) {
  return get_string(item, key, std::nullopt, what);
}
// One text, or a list of one or more.
Result<std::vector<std::string>> texts_field(const Json& item, const char* key,
                                             const std::string& what);
// "label", -1 where there is none.
Result<int64_t> label_field(const Json& item, const std::string& what);

}  // namespace nibble
