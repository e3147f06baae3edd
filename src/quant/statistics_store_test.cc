#include "quant/statistics_store.h"

#include <gtest/gtest.h>

#include <cmath>

#include "base/test_util.h"
#include "quant/window_flows.h"

namespace nibble {
namespace {

const std::string kModel = std::string(NIBBLE_SOURCE_DIR) + "/models/tales-3.7m";

CalibrationSet some_windows() {
  CalibrationSet set;
  for (int32_t w = 0; w < 3; ++w) {
    set.windows.emplace_back();
    for (int32_t t = 0; t < 40; ++t) set.windows.back().push_back((w * 577 + t * t * 31) % 2048);
  }
  set.source = "test";
  set.hash = "none";
  return set;
}

TEST(StatisticsStore, GivesBackWhatTheFloatModelReads) {
  TempFolder dir;
  std::string folder = dir / "statistics";
  Weights weights = *Weights::open(kModel);
  CalibrationSet windows = some_windows();
  auto report = write_statistics(weights, windows, folder, false);
  ASSERT_TRUE(report) << report.error().message;
  EXPECT_EQ(report->blocks, 4);
  auto store = StatisticsStore::open(folder, *weights.checkpoint().digest());
  ASSERT_TRUE(store) << store.error().message;
  WindowFlows flows = *WindowFlows::create(weights.config(), *weights.embedding(), windows);
  for (int64_t layer = 0; layer < 2; ++layer) {
    Block block = *load_block(weights, layer, Activations::kFloat);
    flows.enter(block);
    for (Stage stage : kStages) {
      LinearSpec spec = input_groups(block_linears(weights.config(), layer), stage)[0][0];
      int64_t k = spec.k;
      InputStatistics direct(k, InputStatistics::Need::kHessian);
      for (int64_t i = 0; i < flows.count(); ++i) direct.add(flows.x(i).data(), flows.rows(i));
      ASSERT_TRUE(direct.finish("layer"));
      auto read = store->load(layer, spec);
      ASSERT_TRUE(read) << read.error().message;
      EXPECT_EQ(read->tokens(), 120);
      for (int64_t i : {int64_t{0}, int64_t{9}, k - 1}) {
        EXPECT_EQ(read->absmax(i), direct.absmax(i));
        EXPECT_NEAR(read->mean(i), direct.mean(i), 1e-6 + 1e-6 * std::fabs(direct.mean(i)));
        for (int64_t j : {int64_t{3}, k / 2}) {
          auto at = static_cast<size_t>(i * k + j);
          EXPECT_EQ(read->hessian()[at], static_cast<float>(direct.hessian()[at]));
        }
      }
      flows.advance(stage, block);
    }
    flows.leave(block);
  }
}

TEST(StatisticsStore, RefusesWhatDoesNotFit) {
  TempFolder dir;
  std::string folder = dir / "statistics";
  Weights weights = *Weights::open(kModel);
  ASSERT_TRUE(write_statistics(weights, some_windows(), folder, false));
  auto other = StatisticsStore::open(folder, "another digest");
  ASSERT_FALSE(other);
  EXPECT_NE(other.error().message.find("another model"), std::string::npos);
  auto store = StatisticsStore::open(folder, *weights.checkpoint().digest());
  ASSERT_TRUE(store);
  LinearSpec spec = block_linears(weights.config(), 0)[0];
  EXPECT_FALSE(store->load(4, spec));  // no such block
  spec.k = 255;
  EXPECT_FALSE(store->load(0, spec));  // another width
}

}  // namespace
}  // namespace nibble
