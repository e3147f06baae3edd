// The two merge loops of Bpe: they give the same result, one is fast for words, the other keeps
// to n log n for anything.
#include <algorithm>
#include <queue>

#include "text/bpe.h"

namespace nibble {
namespace {

constexpr uint32_t kNoRank = ~uint32_t{0};
constexpr int32_t kInside = INT32_MIN;  // no symbol starts at this place

// The positions of pairs of one rank, handed out in ascending order. Positions mostly arrive in
// that order, so a plain run takes them; the few late ones go to a heap.
class Bucket {
 public:
  bool empty() const { return head_ == run_.size() && late_.empty(); }
  void push(uint32_t pos) {
    if (head_ == run_.size()) {
      run_.clear();
      head_ = 0;
    }
    if (run_.empty() || pos >= run_.back()) return run_.push_back(pos);
    late_.push_back(pos);
    std::push_heap(late_.begin(), late_.end(), std::greater<>());
  }
  uint32_t pop() {
    if (late_.empty() || (head_ < run_.size() && run_[head_] <= late_.front()))
      return run_[head_++];
    std::pop_heap(late_.begin(), late_.end(), std::greater<>());
    uint32_t pos = late_.back();
    late_.pop_back();
    return pos;
  }

 private:
  std::vector<uint32_t> run_, late_;
  size_t head_ = 0;
};

// All pairs that may be merged, by rank, then by position. A text of one letter has few ranks and
// very many positions; with one bucket for each rank it costs close to linear time.
class PairQueue {
 public:
  void push(uint32_t rank, uint32_t pos) {
    const uint32_t* known = index_.find(rank);
    uint32_t i = known ? *known : static_cast<uint32_t>(buckets_.size());
    if (!known) {
      index_.insert(rank, i);
      buckets_.emplace_back();
    }
    if (buckets_[i].empty()) ranks_.push(uint64_t{rank} << 32 | i);
    buckets_[i].push(pos);
  }
  // The next pair, as (rank, position); false when there is none.
  bool pop(uint32_t& rank, uint32_t& pos) {
    while (!ranks_.empty()) {
      Bucket& bucket = buckets_[static_cast<uint32_t>(ranks_.top())];
      if (!bucket.empty()) {
        rank = static_cast<uint32_t>(ranks_.top() >> 32);
        pos = bucket.pop();
        return true;
      }
      ranks_.pop();
    }
    return false;
  }

 private:
  std::priority_queue<uint64_t, std::vector<uint64_t>, std::greater<>> ranks_;
  std::vector<Bucket> buckets_;
  FlatMap<uint32_t> index_;  // rank to bucket
};

}  // namespace

void Bpe::merge_short(std::vector<int32_t>& symbols) const {
  Merge best[64];  // of each symbol with its right neighbour
  size_t n = symbols.size();
  auto look_up = [&](size_t i) {
    const Merge* m = i + 1 < n ? merge_of(symbols[i], symbols[i + 1]) : nullptr;
    best[i] = m ? *m : Merge{kNoRank, 0};
  };
  for (size_t i = 0; i < n; ++i) look_up(i);
  while (n > 1) {
    size_t at = 0;
    for (size_t i = 1; i + 1 < n; ++i)
      if (best[i].rank < best[at].rank) at = i;
    if (best[at].rank == kNoRank) break;
    symbols[at] = best[at].id;
    for (size_t i = at + 1; i + 1 < n; ++i) {
      symbols[i] = symbols[i + 1];
      best[i] = best[i + 1];
    }
    --n;
    look_up(at);
    if (at > 0) look_up(at - 1);
  }
  symbols.resize(n);
}

// A symbol stands at the place of its first unit; its span there and at its last unit links it to
// its neighbours on both sides.
void Bpe::merge_long(std::vector<int32_t>& symbols, std::vector<uint32_t>& spans) const {
  const auto n = static_cast<uint32_t>(symbols.size());
  spans.assign(n, 1);
  PairQueue queue;
  auto offer = [&](uint32_t left) {
    uint32_t right = left + spans[left];
    if (right == n) return;
    if (const Merge* m = merge_of(symbols[left], symbols[right])) queue.push(m->rank, left);
  };
  for (uint32_t i = 0; i < n; ++i) offer(i);
  uint32_t rank, pos;
  while (queue.pop(rank, pos)) {
    // Inside a symbol, at the end, or of symbols that have changed: the pair is gone.
    if (symbols[pos] == kInside) continue;
    uint32_t right = pos + spans[pos];
    if (right == n) continue;
    const Merge* m = merge_of(symbols[pos], symbols[right]);
    if (!m || m->rank != rank) continue;
    uint32_t span = spans[pos] + spans[right], end = pos + span;
    symbols[pos] = m->id;
    symbols[right] = kInside;
    spans[pos] = spans[end - 1] = span;
    if (pos > 0) offer(pos - spans[pos - 1]);
    offer(pos);
  }
  size_t kept = 0;
  for (uint32_t i = 0; i < n; i += spans[i]) symbols[kept++] = symbols[i];
  symbols.resize(kept);
}

}  // namespace nibble
