#include "device/plan.h"

#include "base/json.h"
#include "base/test_util.h"

namespace nibble {
namespace {

DecoderConfig llama(int64_t hidden, int64_t mlp, int64_t layers, int64_t kv_heads) {
  Json json = {{"model_type", "llama"},
               {"vocab_size", 32000},
               {"hidden_size", hidden},
               {"intermediate_size", mlp},
               {"num_hidden_layers", layers},
               {"num_attention_heads", 32},
               {"num_key_value_heads", kv_heads},
               {"max_position_embeddings", 4096},
               {"rms_norm_eps", 1e-5},
               {"hidden_act", "silu"},
               {"tie_word_embeddings", false}};
  auto config = parse_config(json, "config.json");
  EXPECT_TRUE(succeeds(config));
  config->names.base = config->names.bases[0];
  return *config;
}

DecoderConfig one_billion() { return llama(2048, 5632, 22, 4); }
DecoderConfig seven_billion() { return llama(4096, 11008, 32, 32); }

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
  auto rows = plan_rows(one_billion(), device(), 0, 512);
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
  auto rows = plan_rows(one_billion(), d, 0, 512);
  const PlanRow& w4 = row(rows, "w4g128-asym");
  double head = w4.cost.head_macs / 20e9;
  EXPECT_NEAR(w4.time.decode, w4.cost.block_macs / 40e9 + head + 22e-5, 1e-12);
  EXPECT_NEAR(w4.time.prefill,
              512 * w4.cost.block_macs / 250e9 + head + 22 * 512. * 512 * 2048 / 20e9 +
                  22 * 512. * 2048 / 1e9,
              1e-9);
  // Two bits are not rated: half the bytes of four.
  EXPECT_NEAR(row(rows, "w2g64-asym").time.decode, w4.cost.block_macs / 80e9 + head + 22e-5, 1e-12);
  // The cache comes on top, at what is expected of the bus; heads of 4 x 64 numbers, keys and
  // values.
  double full = row(plan_rows(one_billion(), d, 2048, 512), "w4g128-asym").time.decode;
  EXPECT_NEAR(full - w4.time.decode, 22. * 2 * 2 * 4 * 64 * 2048 / 10e9, 1e-12);
}

// Llama-2-7B's cache of 4,096 tokens is 2.1 GB, which a step at its end reads with 3.8 GB of
// weights.
TEST(Plan, AStepReadsTheCacheToo) {
  auto orin = read_device(NIBBLE_SOURCE_DIR "/devices/agx-orin.yaml");
  ASSERT_TRUE(succeeds(orin));
  PlanBudget budget = {.latency = .022, .memory = {}, .increase = {}};
  auto planned = [&](int64_t context) {
    auto rows = plan_rows(seven_billion(), *orin, context, 512);
    judge_rows(rows, *orin, budget);
    return row(rows, "w4g32");
  };
  PlanRow full = planned(4096), early = planned(64);
  EXPECT_DOUBLE_EQ(full.cost.cache_read, 32. * 2 * 2 * 4096 * 4096);
  EXPECT_NEAR(full.time.decode_floor, .029, .0005);
  EXPECT_DOUBLE_EQ(full.time.decode, full.cost.step_read() / 178e9);
  EXPECT_NE(full.refused.find("22 ms need 269 GB/s, the bus gives 205"), std::string::npos)
      << full.refused;
  EXPECT_EQ(early.refused, "");
}

TEST(Plan, AWindowBoundsWhatIsReadOfTheCache) {
  DecoderConfig config = one_billion();
  for (size_t i = 0; i < config.blocks.size(); i += 2) config.blocks[i].window = 512;
  ModelCost cost = cost_of(config, {}, 4096);
  EXPECT_DOUBLE_EQ(cost.cache, 22. * 2 * 2 * 4 * 64 * 4096);
  EXPECT_DOUBLE_EQ(cost.cache_read, 11. * 2 * 2 * 4 * 64 * (4096 + 512));
  EXPECT_EQ(cost_of(config, {}, 0).cache_read, 0);
}

TEST(Plan, EnergyGoesByJoulesWhereWattsAreKnown) {
  DeviceProfile d = device();
  d.watts = 10;
  auto rows = plan_rows(one_billion(), d, 0, 512);
  judge_rows(rows, d, {});
  for (const PlanRow& r : rows) EXPECT_DOUBLE_EQ(r.time.joules, 10 * r.time.decode);
  rows.back().time.joules = 1e3;  // the fastest, if it drew much
  EXPECT_EQ(choose_row(rows, PlanGoal::kLatency)->name, "w2g64-asym");
  EXPECT_EQ(choose_row(rows, PlanGoal::kEnergy)->name, "w4g128-asym");
}

TEST(Plan, TheThriftiestModeThatIsFastEnough) {
  auto xavier = read_device(NIBBLE_SOURCE_DIR "/devices/agx-xavier.yaml");
  ASSERT_TRUE(succeeds(xavier));
  DecoderConfig config = seven_billion();
  auto mode = [&](PlanBudget budget) {
    const PowerMode* m =
        thriftiest_mode(plan_rows(config, *xavier, 0, 512), config, *xavier, budget, 512);
    return m ? m->name : "";
  };
  // Half the watts at six tenths of the bus.
  EXPECT_EQ(mode({}), "15W");
  // Two bits, 2.0 GB, take 36 ms there and 23 ms at full speed.
  EXPECT_EQ(mode({.latency = .03, .memory = {}, .increase = {}}), "");
  EXPECT_EQ(mode({.latency = .001, .memory = {}, .increase = {}}), "");
}

TEST(Plan, AMemoryThatIsAskedForBindsATpuToo) {
  DeviceProfile coral = device();
  coral.kind = "tpu";
  coral.memory = coral.usable = 8e6;
  auto rows = plan_rows(one_billion(), coral, 2048, 512);
  EXPECT_EQ(rows.size(), 4u);  // no floats
  judge_rows(rows, coral, {});
  EXPECT_EQ(row(rows, "w8").refused, "");
  judge_rows(rows, coral, {.latency = {}, .memory = 1e9, .increase = {}});
  EXPECT_NE(row(rows, "w8").refused.find("there are 1 GB"), std::string::npos);
  EXPECT_EQ(row(rows, "w2g64-asym").refused, "");
}

TEST(Plan, AChipOfFloatsAloneRunsTheModelAsItIs) {
  auto myriad = read_device(NIBBLE_SOURCE_DIR "/devices/myriad-x.yaml");
  ASSERT_TRUE(succeeds(myriad));
  auto rows = plan_rows(one_billion(), *myriad, 2048, 512);
  ASSERT_EQ(rows.size(), 1u);
  EXPECT_EQ(rows[0].name, "as it is");
  DeviceProfile npu = device();
  npu.kind = "npu";
  npu.schemes.clear();
  EXPECT_TRUE(plan_rows(one_billion(), npu, 2048, 512).empty());
}

TEST(Plan, BoundsDecideAndSayWhy) {
  auto rows = plan_rows(one_billion(), device(), 0, 512);
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
