// What turns one pre-token (a word, or a whole text where nothing splits it) into ids.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "text/vocab.h"
#include "text/word_cache.h"

namespace nibble {

// Buffers and memory of one encode() call, so that the model itself stays immutable.
struct EncodeScratch {
  WordCache cache;

  // Bpe: the symbols of a word, and for long words how many units each symbol spans, at the places
  // of its first and its last unit.
  std::vector<int32_t> symbols;
  std::vector<uint32_t> spans;

  // The best way to reach a byte of the text (Unigram).
  struct Path {
    double score;
    uint32_t begin;
    int32_t id;
  };
  std::vector<Path> paths;
};

// Kinds: Bpe (bpe.h), Unigram (unigram.h), WordPiece and WordLevel (wordpiece.h); made in
// hf_models.cc and sentencepiece.cc.
class TokenModel {
 public:
  virtual ~TokenModel() = default;
  // Appends the ids of `text`, which is not empty, is UTF-8 and under 2 GB.
  virtual Status encode(std::string_view text, EncodeScratch& scratch,
                        std::vector<int32_t>& out) const = 0;

  const Vocab& vocab() const { return vocab_; }

 protected:
  explicit TokenModel(Vocab vocab) : vocab_(std::move(vocab)) {}
  Vocab vocab_;
};

// The ids of the 256 pieces "<0x00>".."<0xFF>", -1 for those that the vocabulary lacks.
std::vector<int32_t> byte_piece_ids(const Vocab& vocab);
// The byte that a piece spelled "<0x41>" stands for, or -1.
int byte_of_piece(std::string_view piece);

}  // namespace nibble
