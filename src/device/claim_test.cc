#include "device/claim.h"

#include "base/file.h"
#include "base/test_util.h"

namespace nibble {
namespace {

DeviceProfile device(const std::string& slug) {
  auto read = read_device(NIBBLE_SOURCE_DIR "/devices/" + slug + ".yaml");
  EXPECT_TRUE(succeeds(read));
  return std::move(read).value_or(DeviceProfile{});
}

struct Row {
  const char* claim;
  bool possible;
  double factor;  // least time by the bus / claimed time
};

// The claims, measurements and floors of shared/reference/performance.md 3.1 as it writes them,
// rounded, with its verdicts.
constexpr Row kRows[] = {
    {"7B int8 12 ms jetson-nano", false, 23},
    {"7B int8 8 ms xavier-nx", false, 15},
    {"7B INT8 8 ms agx-xavier", false, 6.4},
    {"1.1B int8 8 ms agx-xavier", true, 1},
    {"7B int8 20 ms cortex-a78", false, 6.9},
    {"7B int8 274 ms jetson-nano", false, 1},
    {"7B int4 145 ms jetson-nano", false, 1},  // the bus would do, the memory does not
    {"1.1B int8 43 ms jetson-nano", true, 1},
    {"0.5B int4 11 ms jetson-nano", true, 1},
    {"7B int8 103 ms orin-nano", false, 1},
    {"7B int8 69 ms orin-nano-super", false, 1},
    {"7B int4 21 ms agx-orin", true, 18. / 21},
    {"8B int4 460 ms raspberry-pi-5", true, 263. / 460},
    {"7B int8 411 ms raspberry-pi-5", false, 1},
    {"7B int4 290 ms raspberry-pi-4", true, 1},
    {"1GB at 30 ms coral-edge-tpu", false, 67},
    {"15MB at 30 ms coral-edge-tpu", true, 1},
    {"7B int8 14 s coral-edge-tpu", true, 1},
    {"1.1B int8 2.2 s coral-edge-tpu", true, 1},
    {"0.5B int8 1.05 s coral-edge-tpu", true, 1},
};

TEST(Claim, PublishedOnesAreJudgedByTheBus) {
  for (const Row& row : kRows) {
    auto claim = parse_claim(row.claim);
    ASSERT_TRUE(succeeds(claim)) << row.claim;
    DeviceProfile on = device(claim->device);
    Verdict verdict = judge(*claim, on);
    EXPECT_NEAR(verdict.factor, row.factor, .1 * row.factor) << row.claim;
    EXPECT_EQ(verdict.possible, row.possible) << verdict_text(*claim, on, verdict);
    EXPECT_EQ(verdict_text(*claim, on, verdict).contains("too little"), row.factor > 1.01);
  }
}

// The table's columns of floors, milliseconds.
TEST(Claim, FloorsAreThoseOfTheTable) {
  constexpr const char* kModels[] = {"7B int8",   "7B int4",   "1.1B int8",
                                     "1.1B int4", "0.5B int8", "0.5B int4"};
  struct Floors {
    const char* device;
    double ms[6];
  };
  constexpr Floors kFloors[] = {
      {"jetson-nano", {274, 145, 43, 23, 21, 11}},
      {"xavier-nx", {118, 62, 18, 10, 9, 5}},
      {"agx-xavier", {51, 27, 8, 4, 4, 2}},
      {"cortex-a78", {137, 73, 21, 11, 10, 5}},
      {"orin-nano", {103, 55, 16, 9, 8, 4}},
      {"orin-nano-super", {69, 36, 11, 6, 5, 3}},
      {"orin-nx", {69, 36, 11, 6, 5, 3}},
      {"agx-orin", {34, 18, 5, 3, 3, 1.4}},
      {"raspberry-pi-5", {411, 217, 64, 34, 31, 16}},
      {"raspberry-pi-4", {549, 290, 85, 45, 41, 22}},
  };
  for (const Floors& row : kFloors) {
    DeviceProfile on = device(row.device);
    for (size_t i = 0; i < std::size(kModels); ++i) {
      auto claim = parse_claim(fmt::format("{} 1 s {}", kModels[i], row.device));
      ASSERT_TRUE(succeeds(claim));
      // Within 10 %, or the half that whole milliseconds round away.
      EXPECT_NEAR(1e3 * judge(*claim, on).bus_seconds, row.ms[i], std::max(.5, .1 * row.ms[i]))
          << kModels[i] << " " << row.device;
    }
  }
}

TEST(Claim, SaysWhatBinds) {
  auto claim = parse_claim("7B int8 12 ms jetson-nano").value();
  DeviceProfile nano = device("jetson-nano");
  std::string text = verdict_text(claim, nano, judge(claim, nano));
  for (const char* part : {"impossible: 7B int8", "585 GB/s", "25.6", "do not fit"})
    EXPECT_NE(text.find(part), std::string::npos) << text;
}

TEST(Claim, Forms) {
  EXPECT_NEAR(parse_claim("jetson-nano 12ms int8 7B")->seconds, .012, 1e-12);
  EXPECT_NEAR(parse_claim("7B w4g128 20 tokens/s agx-orin")->seconds, .05, 1e-12);
  EXPECT_NEAR(parse_claim("350M fp16 0.5s x")->bytes, 7e8, 1);
  for (const char* bad : {"", "7B", "7B int8", "7B int8 12 ms", "int8 12 ms x", "7B 12 ms x",
                          "0B int8 12 ms x", "7B int8 12 parsecs x", "7B int8 12 ms x y"})
    EXPECT_FALSE(parse_claim(bad)) << bad;
}

TEST(DeviceProfile, AllFilesAreRead) {
  auto all = read_devices(NIBBLE_SOURCE_DIR "/devices");
  ASSERT_TRUE(succeeds(all));
  EXPECT_GE(all->size(), 16u);
  for (const DeviceProfile& d : *all) EXPECT_FALSE(d.sources.empty()) << d.slug;
}

TEST(DeviceProfile, WrittenAsRead) {
  TempFolder dir;
  DeviceProfile nano = device("jetson-nano");
  nano.expected_share = 0;
  nano.measured = 15e9;
  nano.kernels = {{"bf16", {1e9, 2e9}}, {"w8", {3e9, 4e9}}};
  nano.block = {.decode_seconds = 5e-6, .values = 6e9, .attention = 7e9};
  ASSERT_TRUE(succeeds(write_file(dir / "n.yaml", device_yaml(nano))));
  auto again = read_device(dir / "n.yaml");
  ASSERT_TRUE(succeeds(again));
  EXPECT_EQ(again->slug, "n");
  EXPECT_DOUBLE_EQ(again->bandwidth, nano.bandwidth);
  EXPECT_DOUBLE_EQ(again->expected_bandwidth(), 15e9);
  EXPECT_DOUBLE_EQ(again->memory, nano.memory);
  EXPECT_EQ(again->peaks, nano.peaks);
  EXPECT_EQ(again->schemes, nano.schemes);
  EXPECT_DOUBLE_EQ(again->kernels["w8"].prefill, 4e9);
  EXPECT_DOUBLE_EQ(again->kernels["bf16"].decode, 1e9);
  EXPECT_DOUBLE_EQ(again->block.decode_seconds, 5e-6);
  EXPECT_DOUBLE_EQ(again->block.attention, 7e9);
  EXPECT_EQ(again->sources, nano.sources);
}

TEST(DeviceProfile, RefusesNonsense) {
  TempFolder dir;
  auto read = [&](const std::string& text) {
    EXPECT_TRUE(succeeds(write_file(dir / "x.yaml", text)));
    return read_device(dir / "x.yaml");
  };
  EXPECT_TRUE(fails_with(read("[1]"), "is no device"));
  EXPECT_TRUE(fails_with(read("a: ["), "not YAML"));
  EXPECT_TRUE(fails_with(read("name: x"), "should say kind"));
  EXPECT_TRUE(fails_with(read("name: x\nkind: cpu\nmemory_gb: -1"), "memory_gb should be"));
  EXPECT_TRUE(fails_with(read("name: x\nkind: cpu\nmemory_gb: .nan"), "memory_gb should be"));
  std::string bus = "name: x\nkind: cpu\nmemory_gb: 4\nusable_gb: 3\nbandwidth_gbs: 20\n";
  EXPECT_TRUE(fails_with(read(bus), "expected_share should be"));
  EXPECT_TRUE(fails_with(read(bus + "expected_share: 1.1"), "expected_share within 1"));
  EXPECT_TRUE(fails_with(read(bus + "measured_gbs: 21"), "measured_gbs within bandwidth_gbs"));
}

TEST(DeviceProfile, WhatIsExpectedIsWhatWasMeasured) {
  DeviceProfile xavier = device("agx-xavier"), nano = device("jetson-nano");
  EXPECT_DOUBLE_EQ(xavier.expected_bandwidth(), 88e9);
  EXPECT_DOUBLE_EQ(nano.expected_bandwidth(), .6 * 25.6e9);
}

TEST(DeviceProfile, AModeHasItsOwnBusAndWatts) {
  DeviceProfile xavier = device("agx-xavier");
  ASSERT_EQ(xavier.modes.back().name, "15W");
  DeviceProfile slow = xavier.in(xavier.modes.back());
  EXPECT_EQ(slow.watts, 15);
  EXPECT_EQ(slow.bandwidth, 85e9);
  EXPECT_DOUBLE_EQ(slow.expected_bandwidth() / 85e9, 88 / 136.5);
  EXPECT_EQ(slow.usable, xavier.usable);
}

}  // namespace
}  // namespace nibble
