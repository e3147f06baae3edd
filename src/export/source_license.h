// What the folder that an export comes from says of its licence.
#pragma once

#include <string>

namespace nibble {

// The lines of a card's head for the Hub, "license: apache-2.0\n"; empty where it is not certain.
// The source's own card says it, or a licence file whose words are known from the first to the
// last; where these say different things, nothing does. Source: huggingface.co/docs/hub,
// "Model Cards" and "Licenses".
std::string license_lines(const std::string& folder);

}  // namespace nibble
