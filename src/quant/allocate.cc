#include "quant/allocate.h"

#include <algorithm>
#include <tuple>

#include "base/result.h"

namespace nibble {

ParetoFront::ParetoFront(const std::vector<AllocationItem>& items) {
  steps_.push_back({Step{{0, 0}, 0, 0}});
  for (const AllocationItem& item : items) {
    NB_CHECK(!item.empty());
    const std::vector<Step>& before = steps_.back();
    std::vector<Step> all;
    all.reserve(before.size() * item.size());
    for (uint32_t b = 0; b < before.size(); ++b)
      for (uint32_t o = 0; o < item.size(); ++o)
        all.push_back(
            {{before[b].total.bytes + item[o].bytes, before[b].total.cost + item[o].cost}, b, o});
    std::sort(all.begin(), all.end(), [](const Step& a, const Step& b) {
      return std::tie(a.total.bytes, a.total.cost, a.before, a.option) <
             std::tie(b.total.bytes, b.total.cost, b.before, b.option);
    });
    std::vector<Step> front;
    for (const Step& s : all)
      if (front.empty() || s.total.cost < front.back().total.cost) front.push_back(s);
    steps_.push_back(std::move(front));
  }
}

AllocationOption ParetoFront::total(size_t point) const { return steps_.back()[point].total; }

Allocation ParetoFront::at(size_t point) const {
  Allocation out{total(point).bytes, total(point).cost, std::vector<size_t>(steps_.size() - 1)};
  for (size_t item = steps_.size() - 1; item > 0; --item) {
    const Step& step = steps_[item][point];
    out.choice[item - 1] = step.option;
    point = step.before;
  }
  return out;
}

size_t ParetoFront::best_within(int64_t bytes) const {
  const std::vector<Step>& front = steps_.back();
  auto larger = [](int64_t limit, const Step& s) { return limit < s.total.bytes; };
  auto above = std::upper_bound(front.begin(), front.end(), bytes, larger);
  return above == front.begin() ? front.size() : static_cast<size_t>(above - front.begin()) - 1;
}

}  // namespace nibble
