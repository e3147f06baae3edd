#include "runtime/energy.h"

#include <gtest/gtest.h>

#include <chrono>

#include "base/file.h"
#include "base/test_util.h"

namespace nibble {
namespace {

class Energy : public testing::Test {
 protected:
  // A file of the made-up /sys.
  void put(const std::string& path, const std::string& text) {
    std::filesystem::path whole = sys_ / path;
    std::filesystem::create_directories(whole.parent_path());
    ASSERT_TRUE(succeeds(write_file(whole.string(), text + "\n")));
  }
  void put_zone(const std::string& zone, const std::string& name, int64_t microjoules) {
    put("class/powercap/" + zone + "/name", name);
    put("class/powercap/" + zone + "/energy_uj", std::to_string(microjoules));
    put("class/powercap/" + zone + "/max_energy_range_uj", "10000000");
  }
  void put_rail(const std::string& chip, int channel, const std::string& label, int millivolts,
                int milliamperes) {
    std::string folder = "class/hwmon/" + chip, n = std::to_string(channel);
    put(folder + "/in" + n + "_label", label);
    put(folder + "/in" + n + "_input", std::to_string(millivolts));
    put(folder + "/curr" + n + "_input", std::to_string(milliamperes));
  }
  TempFolder sys_;
};

TEST_F(Energy, NoMeter) {
  EXPECT_EQ(EnergyMeter::find(sys_.path()), nullptr);
  put("class/hwmon/hwmon0/name", "k10temp");
  put("class/powercap/intel-rapl:0/name", "package-0");  // its counter is for root alone
  EXPECT_EQ(EnergyMeter::find(sys_.path()), nullptr);
}

TEST_F(Energy, RaplAddsPackagesAndMemoryAndSurvivesWrapping) {
  put("class/powercap/intel-rapl/enabled", "1");
  put_zone("intel-rapl:0", "package-0", 9'000'000);
  put_zone("intel-rapl:0:0", "core", 5'000'000);
  put_zone("intel-rapl:0:1", "dram", 1'000'000);
  put_zone("intel-rapl:1", "psys", 1'000'000);
  auto meter = EnergyMeter::find(sys_.path());
  ASSERT_NE(meter, nullptr);
  EXPECT_EQ(meter->name(), "RAPL package-0, dram");
  EXPECT_DOUBLE_EQ(meter->joules(), 0);
  put_zone("intel-rapl:0:0", "core", 6'000'000);
  put_zone("intel-rapl:0:1", "dram", 1'250'000);
  EXPECT_DOUBLE_EQ(meter->joules(), 0.25);
  put_zone("intel-rapl:0", "package-0", 500'000);  // 1 J to the top, half a joule from zero
  EXPECT_DOUBLE_EQ(meter->joules(), 1.75);
}

TEST_F(Energy, RaplKeepsItsCountWhileACounterCannotBeRead) {
  put_zone("intel-rapl:0", "package-0", 1'000'000);
  auto meter = EnergyMeter::find(sys_.path());
  ASSERT_NE(meter, nullptr);
  put("class/powercap/intel-rapl:0/energy_uj", "");
  EXPECT_DOUBLE_EQ(meter->joules(), 0);
  put("class/powercap/intel-rapl:0/energy_uj", "3000000");
  EXPECT_DOUBLE_EQ(meter->joules(), 2);
}

TEST_F(Energy, Ina3221TakesTheInputRailAlone) {
  put("class/hwmon/hwmon3/name", "ina3221");
  put_rail("hwmon3", 1, "VDD_IN", 5000, 2000);
  put_rail("hwmon3", 2, "VDD_CPU_GPU_CV", 5000, 700);
  auto before = std::chrono::steady_clock::now();
  auto meter = EnergyMeter::find(sys_.path());
  ASSERT_NE(meter, nullptr);
  EXPECT_EQ(meter->name(), "INA3221 VDD_IN");
  double first = meter->joules(), second = meter->joules();
  double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - before).count();
  EXPECT_GT(first, 0);
  EXPECT_GE(second, first);
  EXPECT_LE(second, 10.0 * seconds);  // 10 W for no longer than all of this took
}

TEST_F(Energy, Ina3221AddsRailsWhereThereIsNoInputRail) {
  put("class/hwmon/hwmon0/name", "ina3221");
  put_rail("hwmon0", 1, "VDD_GPU_SOC", 5000, 1000);
  put_rail("hwmon0", 2, "VDD_CPU_CV", 5000, 1000);
  auto meter = EnergyMeter::find(sys_.path());
  ASSERT_NE(meter, nullptr);
  EXPECT_EQ(meter->name(), "INA3221 VDD_GPU_SOC, VDD_CPU_CV");
}

}  // namespace
}  // namespace nibble
