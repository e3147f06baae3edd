// How a text is cut into windows and which of their tokens count. Perplexities compare only within
// one protocol.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/result.h"
#include "text/tokenizer.h"

namespace nibble {

enum class Protocol : uint8_t {
  kBosWindows,  // begin-of-text + context-1 tokens, disjoint, the tail dropped; all but the first
                // count
  kGptq,        // special tokens once at the very start, disjoint windows; all but each first count
  kLlamaCpp,    // windows begin with begin-of-text in place of their first token; the second half
                // counts
};

Result<Protocol> parse_protocol(const std::string& name);
const char* protocol_name(Protocol p);

struct Window {
  std::vector<int32_t> ids;
  int64_t first_scored = 0;  // predictions made at positions [first_scored, ids.size() - 1) count
};

struct WindowOptions {
  Protocol protocol = Protocol::kBosWindows;
  int64_t context = 512;
  int64_t tokens = 0;  // of the text at most; 0 = all
};

// `text` is a path or "-". bos is used by kBosWindows and kLlamaCpp. Fails when the text gives no
// whole window.
Result<std::vector<Window>> make_windows(const Tokenizer& tokenizer, int32_t bos,
                                         const std::string& text, const WindowOptions& options);

}  // namespace nibble
