// Models that look whole words or their longest known beginnings up, without merges or scores.
#pragma once

#include "text/byte_trie.h"
#include "text/token_model.h"

namespace nibble {

// WordPiece as BERT reads it (google-research/bert: tokenization.py): of what is left of a word
// the longest known beginning, again and again; a word that does not come out is one unk.
class WordPiece : public TokenModel {
 public:
  struct Options {
    std::string prefix;          // of pieces that go on with a word
    int64_t longest_word = 100;  // in characters; longer ones are unk
    std::optional<int32_t> unk;
  };
  // Errors name `what`: a piece too long to search for.
  static Result<std::unique_ptr<WordPiece>> create(Vocab vocab, const Options& options,
                                                   const std::string& what);
  Status encode(std::string_view text, EncodeScratch& scratch,
                std::vector<int32_t>& out) const override;

 private:
  WordPiece(Vocab vocab, const Options& options)
      : TokenModel(std::move(vocab)), options_(options) {}

  Options options_;
  ByteTrie first_, next_;  // pieces that begin a word, and that go on with one, to ids
};

// A vocabulary of whole words.
class WordLevel : public TokenModel {
 public:
  WordLevel(Vocab vocab, std::optional<int32_t> unk) : TokenModel(std::move(vocab)), unk_(unk) {}
  Status encode(std::string_view text, EncodeScratch& scratch,
                std::vector<int32_t>& out) const override;

 private:
  std::optional<int32_t> unk_;
};

}  // namespace nibble
