#include "model/kv_cache.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <set>

namespace nibble {
namespace {

TEST(Attended, CountsWhatEachTokenSees) {
  for (int64_t window : {0, 1, 3, 8, 100})
    for (int64_t position : {0, 1, 2, 7, 8, 9, 40})
      for (int64_t count : {1, 2, 7, 8, 20}) {
        std::set<int64_t> positions;
        int64_t pairs = 0;
        for (int64_t t = position; t < position + count; ++t)
          for (int64_t seen = window > 0 ? std::max<int64_t>(0, t - window + 1) : 0; seen <= t;
               ++seen, ++pairs)
            positions.insert(seen);
        Attended a = attended(position, count, window);
        EXPECT_EQ(a.positions, static_cast<int64_t>(positions.size()))
            << window << " " << position << " " << count;
        EXPECT_EQ(a.pairs, pairs) << window << " " << position << " " << count;
      }
}

}  // namespace
}  // namespace nibble
