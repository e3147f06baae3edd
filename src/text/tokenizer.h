// Text to token ids and back, as the reference libraries do it.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace nibble {

// Immutable after loading: any number of threads may encode and decode with one.
class Tokenizer {
 public:
  virtual ~Tokenizer() = default;

  // Ids of UTF-8 text, nothing trimmed. With add_special the begin/end tokens that the tokenizer's
  // own rules ask for are put around it. Text that is not UTF-8 is an error naming the byte.
  virtual Result<std::vector<int32_t>> encode(std::string_view text, bool add_special) const = 0;

  // The bytes that the ids stand for, as the reference decodes them. skip_special leaves out
  // special tokens. An id outside the vocabulary is an error.
  virtual Result<std::string> decode(std::span<const int32_t> ids, bool skip_special) const = 0;

  // The token's stored spelling ("Ġthe", "▁the", "<0x0A>"); empty for an id that has none.
  virtual std::string piece(int32_t id) const = 0;
  virtual std::optional<int32_t> id_of(std::string_view piece) const = 0;
  virtual int64_t vocab_size() const = 0;  // one more than the largest id
  virtual bool is_special(int32_t id) const = 0;

  // Begin and end of text: from tokenizer_config.json where it names them, else from the file's own
  // rules; nothing where the tokenizer has none.
  std::optional<int32_t> bos, eos;
};

// `path` is a model folder (tokenizer.json preferred, then tokenizer.model, then vocab.json with
// merges.txt; tokenizer_config.json read beside it), one such file alone, or a GGUF file.
Result<std::unique_ptr<Tokenizer>> load_tokenizer(const std::string& path);
// Whether the model at `path` has a tokenizer of a kind that load_tokenizer looks for.
bool has_tokenizer(const std::string& path);

// Decodes one token after another; a character is handed out only when its last byte is there.
class StreamDecoder {
 public:
  explicit StreamDecoder(const Tokenizer& tokenizer) : tokenizer_(tokenizer) {}
  // The text that this id adds (may be empty).
  Result<std::string> push(int32_t id);
  // What is left at the end of the stream, with broken bytes as U+FFFD.
  Result<std::string> finish();

 private:
  Status shorten();

  const Tokenizer& tokenizer_;
  std::vector<int32_t> ids_;  // the window whose decoding is still open
  std::string shown_;         // what of that window was handed out
  size_t start_ = 0;          // how many ids of the window only stand for "not at the start"
  std::string start_text_;    // and their text
};

}  // namespace nibble
