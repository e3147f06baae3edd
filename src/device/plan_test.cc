#include "device/plan.h"

#include "base/json.h"
#include "base/test_util.h"

namespace nibble {
namespace {

DecoderConfig one_billion() {
  Json json = {{"model_type", "llama"},       {"vocab_size", 32000},
               {"hidden_size", 2048},         {"intermediate_size", 5632},
               {"num_hidden_layers", 22},     {"num_attention_heads", 32},
               {"num_key_value_heads", 4},    {"max_position_embeddings", 2048},
               {"rms_norm_eps", 1e-5},        {"hidden_act", "silu"},
               {"tie_word_embeddings", false}};
  auto config = parse_config(json, "config.json");
  EXPECT_TRUE(succeeds(config));
  config->names.base = config->names.bases[0];
  return *config;
}

DeviceProfile device() {
  DeviceProfile out;
  out.slug = "box";
  out.kind = "cpu";
  out.memory = 4e9;
  out.usable = 3e9;
  out.bandwidth = 20e9;
  out.expected_share = .5;
  out.peaks["int8"] = 400e9;
  out.schemes = {"w8", "w4", "w2"};
  return out;
}

const PlanRow& row(const std::vector<PlanRow>& rows, const std::string& name) {
  for (const PlanRow& r : rows)
    if (r.name == name) return r;
  NB_CHECK(false);
}

TEST(Plan, WithoutKernelsTimeIsTheBusAndItsShare) {
  auto rows = plan_rows(one_billion(), device(), 2048, 512);
  EXPECT_EQ(rows.size(), 5u);  // as it is, w8, both of w4, w2
  const PlanRow& w8 = row(rows, "w8");
  double blocks = 22. * (2 * 2048 * 2048 + 2 * 256 * 2048 + 3 * 5632 * 2048), head = 32000. * 2048;
  EXPECT_DOUBLE_EQ(w8.cost.block_macs, blocks);
  EXPECT_NEAR(w8.cost.read, blocks + head, 2e6);  // and a scale a row
  EXPECT_DOUBLE_EQ(w8.time.decode_floor, w8.cost.read / 20e9);
  EXPECT_DOUBLE_EQ(w8.time.decode, w8.cost.read / 10e9);
  EXPECT_EQ(w8.time.prefill, 0);
  EXPECT_DOUBLE_EQ(w8.time.prefill_floor, (512 * blocks + head) / 200e9);
}

TEST(Plan, WithKernelsTimeIsTheirs) {
  DeviceProfile d = device();
  d.kernels = {{"bf16", {10e9, 50e9}}, {"w8", {20e9, 200e9}}, {"w4g128-asym", {40e9, 250e9}}};
  d.block = {.decode_seconds = 1e-5, .values = 1e9, .attention = 20e9};
  auto rows = plan_rows(one_billion(), d, 2048, 512);
  const PlanRow& w4 = row(rows, "w4g128-asym");
  double head = w4.cost.head_macs / 20e9;
  EXPECT_NEAR(w4.time.decode, w4.cost.block_macs / 40e9 + head + 22e-5, 1e-12);
  EXPECT_NEAR(w4.time.prefill,
              512 * w4.cost.block_macs / 250e9 + head + 22 * 512. * 512 * 2048 / 20e9 +
                  22 * 512. * 2048 / 1e9,
              1e-9);
  // Two bits are not rated: half the bytes of four.
  EXPECT_NEAR(row(rows, "w2g64-asym").time.decode, w4.cost.block_macs / 80e9 + head + 22e-5, 1e-12);
}

TEST(Plan, BoundsDecideAndSayWhy) {
  auto rows = plan_rows(one_billion(), device(), 2048, 512);
  judge_rows(rows, device(), {.latency = .08, .memory = {}, .increase = {}});
  EXPECT_NE(row(rows, "as it is").refused.find("80 ms need 25.9 GB/s, the bus gives 20"),
            std::string::npos)
      << row(rows, "as it is").refused;
  EXPECT_NE(row(rows, "w8").refused.find("are expected"), std::string::npos);
  EXPECT_EQ(row(rows, "w2g64-asym").refused, "");
  EXPECT_EQ(choose_row(rows, PlanGoal::kQuality)->name, "w4g32");
  EXPECT_EQ(choose_row(rows, PlanGoal::kLatency)->name, "w2g64-asym");
  PlanBudget small = {.latency = {}, .memory = 1e8, .increase = {}};
  judge_rows(rows, device(), small);
  EXPECT_EQ(choose_row(rows, PlanGoal::kSize), nullptr);
  EXPECT_NE(refusal(rows, device(), small).find("there are 0.1 GB"), std::string::npos);
}

TEST(Plan, AnUnknownLossMeetsNoBound) {
  auto rows = plan_rows(one_billion(), device(), 2048, 512);
  std::erase_if(rows, [](const PlanRow& r) { return r.name == "as it is"; });
  PlanBudget budget = {.latency = {}, .memory = {}, .increase = .01};
  judge_rows(rows, device(), budget);
  EXPECT_EQ(choose_row(rows, PlanGoal::kQuality), nullptr);
  for (PlanRow& r : rows) r.loss = PlanLoss{.increase = .05, .kl = .02, .top1 = .9};
  judge_rows(rows, device(), budget);
  EXPECT_NE(refusal(rows, device(), budget).find("rises by 5.00 %, 1 % are allowed"),
            std::string::npos)
      << refusal(rows, device(), budget);
}

}  // namespace
}  // namespace nibble
