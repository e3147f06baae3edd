// A model folder ready to write text: the decoder, its tokenizer, and where texts begin and end.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "model/decoder.h"
#include "text/tokenizer.h"

namespace nibble {

struct TextModel {
  Decoder decoder;
  std::unique_ptr<Tokenizer> tokenizer;  // null where the folder has none
  std::vector<int32_t> eos;              // any of these ends a text

  // `context` and `packed` as Decoder::load.
  static Result<TextModel> load(const std::string& folder, Activations mode, int64_t context = 0,
                                const std::string& packed = "");
  static Result<TextModel> load(Weights weights, Activations mode, int64_t context = 0,
                                const std::string& packed = "");
  // The tokenizer, or an error that says the folder has none.
  Result<const Tokenizer*> need_tokenizer() const;
};

// The ids of a prompt: what the tokenizer's own rules make of it; where they put nothing before the
// text but the model has a begin-of-text token, that one first.
Result<std::vector<int32_t>> encode_prompt(const Tokenizer& tokenizer, std::string_view text);

// The ids that end a text: config.json's and generation_config.json's together; the tokenizer's
// where neither names one.
Result<std::vector<int32_t>> end_of_text_ids(const std::string& folder, const DecoderConfig& config,
                                             const Tokenizer* tokenizer);

}  // namespace nibble
