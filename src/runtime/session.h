// Writes text: a prompt goes in, tokens come out one by one until something ends them.
#pragma once

#include <atomic>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "runtime/sampler.h"
#include "runtime/text_model.h"

namespace nibble {

struct GenerationOptions {
  int64_t max_tokens = 128;
  SamplingOptions sampling;
  std::vector<std::string> stop;  // none empty
  bool ignore_eos = false;
  KvType cache = KvType::kF32;
  const std::atomic<bool>* interrupt = nullptr;  // set by another: ends the text soon
};
// What is wrong with them whatever the model.
Status check_options(const GenerationOptions& options);

enum class Finish : uint8_t {
  kEos,      // the model ended its text
  kStop,     // a stop string appeared
  kLength,   // max_tokens are written
  kContext,  // prompt and text fill the context
  kInterrupted,
};
const char* finish_name(Finish finish);  // "eos", "stop", "length", "context", "interrupted"

struct Generation {
  std::vector<int32_t> ids;  // the new tokens, an end-of-text token included
  std::string text;          // what they stand for; ends before a stop string
  Finish finish = Finish::kLength;
  double prefill_seconds = 0, decode_seconds = 0;
  double first_token_seconds = 0;  // from the call to the first token, 0 where none came
};

// Gets each piece of text as soon as it is settled: whole characters, no part of a stop string.
using TextSink = std::function<void(std::string_view)>;

// Prompt tokens fed at once: enough for the matrix products to run at full speed, few enough to
// bound the scratch memory.
inline constexpr int64_t kPrefillChunk = 512;

// Feeds ids, those of the sequence from `position` on, chunk by chunk, all on the way that is
// `flow`; logits: (vocab) of the last.
void prefill(const Decoder& decoder, std::span<const int32_t> ids, KvCache& cache, int64_t position,
             Flow& flow, std::vector<float>& logits);

// What a sequence left behind: a prompt that begins with the same ids is not fed again.
struct Past {
  std::vector<int32_t> ids;  // those whose keys and values the cache holds
  std::optional<KvCache> cache;
};

// Continues the prompt. It must hold at least one id, all within the vocabulary, and fewer than the
// decoder's context. Without a tokenizer the text stays empty and stop strings are refused.
Result<Generation> generate(const TextModel& model, std::span<const int32_t> prompt,
                            const GenerationOptions& options, const TextSink& sink = {},
                            Past* past = nullptr);

}  // namespace nibble
