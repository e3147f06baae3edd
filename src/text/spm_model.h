// The contents of a SentencePiece model file (tokenizer.model).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace nibble {

// google/sentencepiece, src/sentencepiece_model.proto: names, numbers and defaults are its.
struct SpmModel {
  enum class Type { kNormal = 1, kUnknown, kControl, kUserDefined, kUnused, kByte };
  struct Piece {
    std::string_view text;  // UTF-8, into the bytes given to parse()
    float score = 0;
    Type type = Type::kNormal;
  };
  std::vector<Piece> pieces;  // by id

  enum class Kind { kUnigram = 1, kBpe, kWord, kChar } kind = Kind::kUnigram;
  bool byte_fallback = false;
  bool whitespace_as_suffix = false;
  int64_t bos = 1, eos = 2;  // -1: none
  std::string_view unk_surface = " \xE2\x81\x87 ";

  std::string_view charsmap;
  bool add_dummy_prefix = true, remove_extra_whitespaces = true, escape_whitespaces = true;

  // Errors name `what`: bytes that are no such model, pieces that are empty, too long, not UTF-8 or
  // without a number for a score.
  static Result<SpmModel> parse(std::string_view bytes, const std::string& what);

 private:
  Status read_piece(std::string_view bytes, const std::string& what);
  Status read_trainer(std::string_view bytes, const std::string& what);
  Status read_normalizer(std::string_view bytes, const std::string& what);
};

}  // namespace nibble
