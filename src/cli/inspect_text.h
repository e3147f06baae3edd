// What `nibble inspect` found, as text for people.
#pragma once

#include "base/json.h"

namespace nibble {

// `found`: the document that --json prints.
void put_inspection(const Json& found);

}  // namespace nibble
