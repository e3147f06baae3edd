// The "vocab" object of tokenizer.json, read apart from the rest: a document holds it in a list
// that is searched for every key, which for 50,000 keys takes seconds.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "base/result.h"

namespace nibble {

using VocabEntries = std::vector<std::pair<std::string, int64_t>>;  // spelling, id; in file order

// Takes the object at model.vocab out of the JSON text, leaving null there. Empty where there is no
// such object. Errors name `what`; JSON that is broken elsewhere is left for the parser to see.
Result<VocabEntries> cut_vocab(std::string& json, const std::string& what);

// Parses one object of spellings and ids.
Result<VocabEntries> parse_vocab(std::string_view json, const std::string& what);

}  // namespace nibble
