#include "runtime/energy.h"

#include <algorithm>
#include <charconv>
#include <chrono>
#include <filesystem>
#include <mutex>
#include <optional>
#include <thread>
#include <vector>

#include "base/file.h"

namespace nibble {
namespace {

std::optional<std::string> read_word(const std::string& path) {
  Result<std::string> text = read_file(path, 4096);
  if (!text) return std::nullopt;
  while (!text->empty() && text->back() <= ' ') text->pop_back();
  return *text;
}

std::optional<int64_t> read_number(const std::string& path) {
  std::optional<std::string> text = read_word(path);
  int64_t value = 0;
  if (!text || text->empty()) return std::nullopt;
  auto [end, error] = std::from_chars(text->data(), text->data() + text->size(), value);
  if (error != std::errc() || end != text->data() + text->size()) return std::nullopt;
  return value;
}

// The entries of a folder that begin with `prefix`, sorted; most are links.
std::vector<std::string> entries(const std::string& folder, std::string_view prefix) {
  std::vector<std::string> out;
  std::error_code ec;
  for (const auto& entry : std::filesystem::directory_iterator(folder, ec))
    if (entry.path().filename().string().starts_with(prefix)) out.push_back(entry.path().string());
  std::sort(out.begin(), out.end());
  return out;
}

// Linux, Documentation/power/powercap: counters of microjoules that begin again at zero once they
// have passed max_energy_range_uj. "core" and "uncore" are parts of a package and "psys" holds all,
// so those are not counted beside it.
class Rapl : public EnergyMeter {
 public:
  static std::unique_ptr<EnergyMeter> find(const std::string& sys) {
    auto meter = std::make_unique<Rapl>();
    for (const std::string& zone : entries(sys + "/class/powercap", "intel-rapl:")) {
      std::optional<std::string> name = read_word(zone + "/name");
      if (!name || !(name->starts_with("package") || *name == "dram")) continue;
      auto now = read_number(zone + "/energy_uj"),
           range = read_number(zone + "/max_energy_range_uj");
      if (now && range) meter->counters_.push_back({*name, zone + "/energy_uj", *range, *now});
    }
    if (meter->counters_.empty()) return nullptr;
    return meter;
  }

  std::string name() const override {
    std::string names;
    for (const Counter& c : counters_) names += (names.empty() ? "" : ", ") + c.name;
    return "RAPL " + names;
  }

  double joules() override {
    for (Counter& c : counters_) {
      std::optional<int64_t> now = read_number(c.path);
      if (!now) continue;
      microjoules_ += *now >= c.last ? *now - c.last : *now + c.range - c.last;
      c.last = *now;
    }
    return static_cast<double>(microjoules_) * 1e-6;
  }

 private:
  struct Counter {
    std::string name, path;
    int64_t range, last;  // microjoules
  };
  std::vector<Counter> counters_;
  int64_t microjoules_ = 0;
};

// Linux, Documentation/hwmon/ina3221: three channels of millivolts and milliamperes, labelled by
// the board's device tree. It tells power, so a thread adds it up over time.
class Ina3221 : public EnergyMeter {
 public:
  struct Rail {
    std::string label, volts, amperes;  // the label, the paths
  };

  static std::unique_ptr<EnergyMeter> find(const std::string& sys) {
    std::vector<Rail> rails;
    for (const std::string& chip : entries(sys + "/class/hwmon", "hwmon")) {
      if (read_word(chip + "/name") != "ina3221") continue;
      for (int i = 1; i <= 3; ++i) {
        std::optional<std::string> label = read_word(fmt::format("{}/in{}_label", chip, i));
        Rail rail{label.value_or(""), fmt::format("{}/in{}_input", chip, i),
                  fmt::format("{}/curr{}_input", chip, i)};
        if (label && watts(rail)) rails.push_back(rail);
      }
    }
    // The board's input feeds all the other rails.
    for (const Rail& rail : rails)
      if (rail.label == "VDD_IN") return std::make_unique<Ina3221>(std::vector{rail});
    if (rails.empty()) return nullptr;
    return std::make_unique<Ina3221>(rails);
  }

  explicit Ina3221(std::vector<Rail> rails)
      : rails_(std::move(rails)), thread_([this](const std::stop_token& stop) {
          while (!stop.stop_requested()) {
            std::this_thread::sleep_for(std::chrono::milliseconds(20));
            joules();
          }
        }) {}

  std::string name() const override {
    std::string names;
    for (const Rail& r : rails_) names += (names.empty() ? "" : ", ") + r.label;
    return "INA3221 " + names;
  }

  double joules() override {
    std::lock_guard lock(mutex_);
    auto now = Clock::now();
    double seconds = std::chrono::duration<double>(now - last_).count();
    for (const Rail& rail : rails_) joules_ += watts(rail).value_or(0) * seconds;
    last_ = now;
    return joules_;
  }

 private:
  using Clock = std::chrono::steady_clock;
  static std::optional<double> watts(const Rail& rail) {
    auto millivolts = read_number(rail.volts), milliamperes = read_number(rail.amperes);
    if (!millivolts || !milliamperes) return std::nullopt;
    return static_cast<double>(*millivolts) * static_cast<double>(*milliamperes) * 1e-6;
  }

  std::vector<Rail> rails_;
  std::mutex mutex_;
  Clock::time_point last_ = Clock::now();
  double joules_ = 0;
  std::jthread thread_;  // last: it uses the others
};

}  // namespace

std::unique_ptr<EnergyMeter> EnergyMeter::find(const std::string& sys) {
  if (auto meter = Rapl::find(sys)) return meter;
  return Ina3221::find(sys);
}

}  // namespace nibble
