// The unigram language model (Kudo 2018, arXiv:1804.10959): the split whose pieces have the
// highest sum of scores.
#pragma once

#include <optional>

#include "text/byte_trie.h"
#include "text/token_model.h"

namespace nibble {

class Unigram : public TokenModel {
 public:
  enum class Use : uint8_t {
    kNever,  // no text spells it (control, unknown, byte, unused)
    kNormal,
    kAlways,  // user-defined: wins over any other split
  };
  struct Options {
    bool byte_fallback = false;
    bool single_precision = false;  // sums as SentencePiece makes them; else as Hugging Face does
    std::optional<int32_t> unk;
  };

  // One score and one use for each id of the vocabulary. Errors name `what`.
  static Result<std::unique_ptr<Unigram>> create(Vocab vocab, std::vector<double> scores,
                                                 const std::vector<Use>& uses,
                                                 const Options& options, const std::string& what);
  Status encode(std::string_view text, EncodeScratch& scratch,
                std::vector<int32_t>& out) const override;

 private:
  Unigram(Vocab vocab, const Options& options)
      : TokenModel(std::move(vocab)), options_(options), byte_pieces_(byte_piece_ids(vocab_)) {}
  void find_best_paths(std::string_view text, std::vector<EncodeScratch::Path>& paths) const;
  Status emit(std::string_view text, int32_t id, std::vector<int32_t>& out) const;
  double rounded(double x) const { return options_.single_precision ? static_cast<float>(x) : x; }

  Options options_;
  std::vector<double> scores_;
  std::vector<Use> uses_;
  double max_score_ = 0, unk_score_ = 0;
  std::vector<int32_t> byte_pieces_;
  ByteTrie trie_;  // to ids
};

}  // namespace nibble
