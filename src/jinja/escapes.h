// Backslashes in a template's texts, as Python's "unicode-escape" reads them.
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"

namespace nibble::jinja {

Result<std::string> decode_escapes(std::string_view text);

}  // namespace nibble::jinja
