// Reference: huggingface/tokenizers, tokenizers/src/tokenizer/normalizer.rs,
// NormalizedString::split.
#include "text/splitting.h"

#include <algorithm>

namespace nibble {

Result<SplitBehavior> read_split_behavior(const Json& j, std::optional<std::string> fallback,
                                          const std::string& what) {
  std::string name = NB_TRY(get_string(j, "behavior", std::move(fallback), what));
  if (name == "Removed") return SplitBehavior::kRemoved;
  if (name == "Isolated") return SplitBehavior::kIsolated;
  if (name == "MergedWithPrevious") return SplitBehavior::kMergedWithPrevious;
  if (name == "MergedWithNext") return SplitBehavior::kMergedWithNext;
  if (name == "Contiguous") return SplitBehavior::kContiguous;
  return fail("{}: behavior \"{}\" is unknown", what, name);
}

void Splitter::match(Match m) {
  if (done_ < m.begin) stretches_.push_back({done_, m.begin, false});
  if (m.begin < m.end) stretches_.push_back({m.begin, m.end, true});
  done_ = m.end;
}

void Splitter::finish(bool invert, std::vector<Match>& out) {
  if (done_ < word_.end) stretches_.push_back({done_, word_.end, false});
  if (invert)
    for (auto& s : stretches_) s.is_match = !s.is_match;
  switch (behavior_) {
    case SplitBehavior::kRemoved:
      for (const auto& s : stretches_)
        if (!s.is_match) out.push_back({s.begin, s.end});
      return;
    case SplitBehavior::kIsolated:
      for (const auto& s : stretches_) out.push_back({s.begin, s.end});
      return;
    case SplitBehavior::kMergedWithPrevious:
      return merge_with_previous(out);
    case SplitBehavior::kMergedWithNext:
      return merge_with_next(out);
    case SplitBehavior::kContiguous:
      return merge_contiguous(out);
  }
}

// Of several matches in a row only the first is merged, here and in the next.
void Splitter::merge_with_previous(std::vector<Match>& out) const {
  size_t first = out.size();
  bool previous = false;
  for (const auto& s : stretches_) {
    if (s.is_match && !previous && out.size() > first)
      out.back().end = s.end;
    else
      out.push_back({s.begin, s.end});
    previous = s.is_match;
  }
}

void Splitter::merge_with_next(std::vector<Match>& out) const {
  size_t first = out.size();
  bool previous = false;
  for (auto s = stretches_.rbegin(); s != stretches_.rend(); ++s) {
    if (s->is_match && !previous && out.size() > first)
      out.back().begin = s->begin;
    else
      out.push_back({s->begin, s->end});
    previous = s->is_match;
  }
  std::reverse(out.begin() + static_cast<ptrdiff_t>(first), out.end());
}

void Splitter::merge_contiguous(std::vector<Match>& out) const {
  size_t first = out.size();
  bool previous = false;
  for (const auto& s : stretches_) {
    if (s.is_match == previous && out.size() > first)
      out.back().end = s.end;
    else
      out.push_back({s.begin, s.end});
    previous = s.is_match;
  }
}

}  // namespace nibble
