#include "quant/python_random.h"

#include <gtest/gtest.h>

namespace nibble {
namespace {

// python3 -c "import random; random.seed(0); print([random.randrange(123457) for _ in range(5)],
// random.random())"
TEST(PythonRandom, GivesPythonsNumbers) {
  PythonRandom r(0);
  for (uint32_t expected : {110680u, 50494u, 99346u, 116686u, 55125u})
    EXPECT_EQ(r.below(123457), expected);
  EXPECT_DOUBLE_EQ(r.uniform(), 0.04048437818077755);
}

// random.seed(12345); [random.getrandbits(32) for _ in range(3)]
TEST(PythonRandom, OtherSeeds) {
  PythonRandom r(12345);
  EXPECT_EQ(r.next(), 1789368711u);
  EXPECT_EQ(r.next(), 3146859322u);
  EXPECT_EQ(r.next(), 43676229u);
}

}  // namespace
}  // namespace nibble
