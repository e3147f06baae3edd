// What a GGUF file's metadata say of its tokenizer, checked: the lists and settings under
// tokenizer.ggml.
#pragma once

#include <optional>
#include <span>

#include "formats/gguf_model.h"

namespace nibble {

// SentencePiece's numbers.
enum class TokenType : uint8_t { kNormal = 1, kUnknown, kControl, kUserDefined, kUnused, kByte };

class GgufVocabulary {
 public:
  // The model must outlive it.
  static Result<GgufVocabulary> read(const GgufModel& model);

  const std::string& path() const { return model_->path(); }
  bool is(size_t id, TokenType type) const {
    return id < types.size() && types[id] == static_cast<int64_t>(type);
  }
  std::string text(const char* key) const {
    const auto* value = model_->find<std::string_view>(full(key));
    return value ? std::string(*value) : "";
  }
  std::optional<bool> flag(const char* key) const {
    const auto* value = model_->find<bool>(full(key));
    return value ? std::optional(*value) : std::nullopt;
  }
  // NAME_token_id, where the vocabulary has it.
  std::optional<int64_t> id(const std::string& name) const {
    const auto* value = model_->find<int64_t>(full((name + "_token_id").c_str()));
    if (!value || *value < 0 || *value >= static_cast<int64_t>(tokens.size())) return std::nullopt;
    return *value;
  }
  std::string piece(int64_t id) const { return std::string(tokens[static_cast<size_t>(id)]); }
  template <class T>
  const T* list(const char* key) const {
    const auto* array = model_->find<GgufArray>(full(key));
    return array ? std::get_if<T>(array) : nullptr;
  }
  const GgufModel& model() const { return *model_; }

  // Of SentencePiece's kind, with scores and no merges.
  bool sentencepiece() const { return kind == "llama"; }
  // Of Llama 3's kind: begins every text, and takes a word that is a token as it is.
  bool llama3() const;
  // Whether the begin and the end token go around a text.
  bool adds_bos() const;
  bool adds_eos() const { return flag("add_eos_token").value_or(false) && id("eos"); }

  std::string kind;
  std::span<const std::string_view> tokens;  // by id
  std::span<const int64_t> types;            // empty, or one for each token

 private:
  explicit GgufVocabulary(const GgufModel& model) : model_(&model) {}
  static std::string full(const char* key) { return std::string("tokenizer.ggml.") + key; }
  const GgufModel* model_;
};

}  // namespace nibble
