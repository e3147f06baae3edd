// What becomes of the matches when a word is split by a pattern.
#pragma once

#include "text/pre_tokenizers.h"

namespace nibble {

enum class SplitBehavior {
  kRemoved,             // matches are dropped
  kIsolated,            // each match is a word
  kMergedWithPrevious,  // a match goes to the word before it
  kMergedWithNext,      // a match goes to the word after it
  kContiguous,          // adjacent matches are one word
};
Result<SplitBehavior> read_split_behavior(const Json& j, std::optional<std::string> fallback,
                                          const std::string& what);

struct Stretch {
  size_t begin, end;
  bool is_match;
};

// Collects the stretches of one word, which cover it, and turns them into words.
class Splitter {
 public:
  explicit Splitter(SplitBehavior behavior) : behavior_(behavior) {}
  void start(Match word) {
    word_ = word;
    done_ = word.begin;
    stretches_.clear();
  }
  void match(Match m);
  // Appends the words; with invert what was between the matches counts as the matches.
  void finish(bool invert, std::vector<Match>& out);

 private:
  void merge_with_previous(std::vector<Match>& out) const;
  void merge_with_next(std::vector<Match>& out) const;
  void merge_contiguous(std::vector<Match>& out) const;

  SplitBehavior behavior_;
  Match word_{};
  size_t done_ = 0;
  std::vector<Stretch> stretches_;
};

}  // namespace nibble
