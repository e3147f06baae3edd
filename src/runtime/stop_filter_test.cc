#include "runtime/stop_filter.h"

#include <gtest/gtest.h>

namespace nibble {
namespace {

TEST(StopFilter, PassesTextOnAtOnceWithoutStops) {
  StopFilter f({});
  EXPECT_EQ(f.push("one "), "one ");
  EXPECT_EQ(f.push("two"), "two");
  EXPECT_EQ(f.finish(), "");
}

TEST(StopFilter, HoldsBackWhatMayBecomeAStop) {
  StopFilter f({"END"});
  EXPECT_EQ(f.push("the E"), "the ");
  EXPECT_EQ(f.push("N"), "");
  EXPECT_EQ(f.push("glish"), "ENglish");
  EXPECT_EQ(f.push(" END of it"), " ");
  EXPECT_TRUE(f.stopped());
  EXPECT_EQ(f.push("more"), "");
  EXPECT_EQ(f.finish(), "");
}

TEST(StopFilter, GivesTheHeldPartAtTheEnd) {
  StopFilter f({"\n\nUser:"});
  EXPECT_EQ(f.push("yes\n\nUs"), "yes");
  EXPECT_EQ(f.finish(), "\n\nUs");
  EXPECT_FALSE(f.stopped());
}

TEST(StopFilter, TheFirstOfSeveralWins) {
  StopFilter f({"world", "lo"});
  EXPECT_EQ(f.push("hello world"), "hel");
  EXPECT_TRUE(f.stopped());
}

TEST(StopFilter, FindsAStopThatBeginsInsideAFailedOne) {
  StopFilter f({"aab"});
  EXPECT_EQ(f.push("a"), "");
  EXPECT_EQ(f.push("a"), "");
  EXPECT_EQ(f.push("a"), "a");
  EXPECT_EQ(f.push("b"), "");
  EXPECT_TRUE(f.stopped());
}

TEST(StopFilter, TheLongestPossibleBeginningWaits) {
  StopFilter f({"b!", "abc"});
  EXPECT_EQ(f.push("xab"), "x");
  EXPECT_EQ(f.push("?"), "ab?");
}

TEST(StopFilter, AnySplitOfTheTextGivesTheSame) {
  const std::string text = "abababcabc<stop>tail";
  for (size_t cut = 0; cut <= text.size(); ++cut) {
    StopFilter f({"<stop>", "abcd"});
    std::string out = f.push(text.substr(0, cut));
    out += f.push(text.substr(cut));
    EXPECT_EQ(out + f.finish(), "abababcabc") << cut;
  }
}

}  // namespace
}  // namespace nibble
