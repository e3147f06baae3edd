// Equality, order and membership, as Python has them.
#pragma once

#include "jinja/value.h"

namespace nibble::jinja {

// Equal keys of a dict have equal texts. An error for what Python cannot hash.
Result<std::string> hash_text(Budget& budget, const Value& key);
Result<bool> equal(Budget& budget, const Value& a, const Value& b);
// Below, equal or above: < 0, 0, > 0; an error where Python has no order.
Result<int> compare(Budget& budget, const Value& a, const Value& b);
Result<bool> contains(Budget& budget, const Value& container, const Value& item);
// One of == != < <= > >= on two values.
Result<bool> compare_by(Budget& budget, std::string_view op, const Value& a, const Value& b);

// The first place of `part` at or after `from`, in time linear in both; npos where it is not.
size_t find_text(std::string_view text, std::string_view part, size_t from = 0);

}  // namespace nibble::jinja
