// Reference: google/sentencepiece, src/unigram_model.cc, EncodeOptimized; and
// huggingface/tokenizers, tokenizers/src/models/unigram/model.rs, which differs in the rounding.
#include "text/unigram.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "text/utf8.h"

namespace nibble {

Result<std::unique_ptr<Unigram>> Unigram::create(Vocab vocab, std::vector<double> scores,
                                                 const std::vector<Use>& uses,
                                                 const Options& options, const std::string& what) {
  std::unique_ptr<Unigram> model(new Unigram(std::move(vocab), options));
  double min = std::numeric_limits<double>::infinity(), max = -min;
  for (size_t id = 0; id < scores.size(); ++id) {
    std::string_view piece = model->vocab_.piece(static_cast<int64_t>(id));
    if (!std::isfinite(scores[id])) return fail("{}: score of token {} is no number", what, id);
    if (piece.size() > ByteTrie::kLongest)
      return fail("{}: token {} has {} bytes, over {}", what, id, piece.size(), ByteTrie::kLongest);
    // SentencePiece takes the extremes of normal pieces only, Hugging Face of all.
    if (uses[id] == Use::kNormal || !options.single_precision) {
      min = std::min(min, scores[id]);
      max = std::max(max, scores[id]);
    }
    if (uses[id] != Use::kNever && !piece.empty())
      model->trie_.add(piece, static_cast<int32_t>(id));
  }
  if (!std::isfinite(min)) min = max = 0;
  constexpr double kUnkPenalty = 10.0;
  model->scores_ = std::move(scores);
  model->uses_ = uses;
  model->max_score_ = max;
  model->unk_score_ = model->rounded(min - kUnkPenalty);
  return model;
}

void Unigram::find_best_paths(std::string_view text,
                              std::vector<EncodeScratch::Path>& paths) const {
  constexpr int32_t kUnreached = -2;
  paths.assign(text.size() + 1, {0, 0, kUnreached});
  auto offer = [&](size_t begin, size_t end, double score, int32_t id) {
    auto& path = paths[end];
    if (path.id != kUnreached && !(score > path.score)) return;
    path = {rounded(score), static_cast<uint32_t>(begin), id};
  };
  for (size_t i = 0, n; i < text.size(); i += n) {
    n = char_length(static_cast<unsigned char>(text[i]));
    bool char_is_piece = false;
    trie_.for_each_prefix(text.substr(i), [&](size_t length, int32_t id) {
      auto at = static_cast<size_t>(id);
      double bonus = rounded(static_cast<double>(length) * max_score_) - 0.1;
      offer(i, i + length, (uses_[at] == Use::kAlways ? bonus : scores_[at]) + paths[i].score, id);
      char_is_piece |= length == n;
    });
    if (!char_is_piece) offer(i, i + n, rounded(unk_score_ + paths[i].score), -1);
  }
}

Status Unigram::emit(std::string_view text, int32_t id, std::vector<int32_t>& out) const {
  if (id >= 0) {
    out.push_back(id);
    return {};
  }
  bool bytes = options_.byte_fallback;
  for (unsigned char b : text) bytes = bytes && byte_pieces_[b] >= 0;
  if (bytes) {
    for (unsigned char b : text) out.push_back(byte_pieces_[b]);
    return {};
  }
  if (!options_.unk)
    return fail("tokenizer: \"{}\" is not in the vocabulary, which has no unknown token",
                text.substr(0, 40));
  out.push_back(*options_.unk);
  return {};
}

Status Unigram::encode(std::string_view text, EncodeScratch& scratch,
                       std::vector<int32_t>& out) const {
  auto& paths = scratch.paths;
  find_best_paths(text, paths);
  // Walk back from the end, then turn the links round.
  std::vector<std::pair<uint32_t, int32_t>> steps;  // (begin, id), last first
  for (size_t end = text.size(); end > 0; end = paths[end].begin) {
    // A run of unknown characters is one unknown piece.
    if (paths[end].id < 0 && !steps.empty() && steps.back().second < 0)
      steps.back().first = paths[end].begin;
    else
      steps.emplace_back(paths[end].begin, paths[end].id);
  }
  for (size_t i = steps.size(); i-- > 0;) {
    size_t end = i == 0 ? text.size() : steps[i - 1].first;
    NB_OK(emit(text.substr(steps[i].first, end - steps[i].first), steps[i].second, out));
  }
  return {};
}

}  // namespace nibble
