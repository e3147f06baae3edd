#include "report/report.h"

#include <gtest/gtest.h>

namespace nibble {
namespace {

TEST(Report, TheFrontHasWhatNoOtherIsAsSmallAsAndCloser) {
  auto version = [](const char* name, int64_t bytes, double kl) {
    return ReportVersion{.name = name, .bytes = bytes, .kl = kl};
  };
  std::string names;
  for (const ReportVersion& v :
       front_of({version("large", 9, .1), version("worse", 5, .4), version("best", 5, .2),
                 version("useless", 7, .2), version("small", 2, .8)}))
    names += v.name + " ";
  EXPECT_EQ(names, "small best large ");
  EXPECT_TRUE(front_of({}).empty());
}

}  // namespace
}  // namespace nibble
