// The step of tokenizer.json that puts special tokens around the ids of a text.
#pragma once

#include <cstdint>

#include "text/kinds.h"
#include "text/vocab.h"

namespace nibble {

struct Surround {
  std::vector<int32_t> before, after;
};

// Kinds: the table in post_processors.cc. `vocab_size` bounds the ids; an error names what is
// wrong.
Result<Surround> make_post_processor(const Json& j, int64_t vocab_size, const std::string& what);

}  // namespace nibble
