// Which option each item takes so that the whole costs least at every size: an exact
// multiple-choice knapsack.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace nibble {

struct AllocationOption {
  int64_t bytes = 0;
  double cost = 0;
};
using AllocationItem = std::vector<AllocationOption>;  // one of them is taken; not empty

struct Allocation {
  int64_t bytes = 0;
  double cost = 0;
  std::vector<size_t> choice;  // an option of each item
};

// Every total that no other choice beats or equals in both bytes and cost, by rising bytes. Dynamic
// programming item by item over the totals that are still on the front: exact, since costs add.
class ParetoFront {
 public:
  explicit ParetoFront(const std::vector<AllocationItem>& items);

  size_t size() const { return steps_.back().size(); }
  AllocationOption total(size_t point) const;
  Allocation at(size_t point) const;
  // The last point of at most `bytes`, or size() where none is that small.
  size_t best_within(int64_t bytes) const;

 private:
  struct Step {
    AllocationOption total;
    uint32_t before, option;
  };
  std::vector<std::vector<Step>> steps_;  // of each item, the first of none
};

}  // namespace nibble
