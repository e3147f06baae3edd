#include "device/profile.h"

#include <yaml-cpp/yaml.h>

#include <algorithm>
#include <cmath>
#include <filesystem>

#include "base/file.h"

namespace nibble {
namespace {

constexpr int64_t kLargestFile = 1 << 16;

// Reads the keys of one map; every message names the file.
class Reader {
 public:
  Reader(YAML::Node map, std::string where) : map_(std::move(map)), where_(std::move(where)) {}

  Result<std::string> text(const char* key) const {
    YAML::Node node = map_[key];
    if (!node || !node.IsScalar() || node.Scalar().empty())
      return fail("{}: should say {}", where_, key);
    return node.Scalar();
  }
  Result<double> number(const char* key) const { return number(map_[key], key); }
  Result<double> number(const YAML::Node& node, const std::string& key) const {
    double value = 0;
    if (!node || !node.IsScalar() || !YAML::convert<double>::decode(node, value) ||
        !std::isfinite(value) || value <= 0 || value > 1e9)
      return fail("{}: {} should be a number above 0", where_, key);
    return value;
  }
  Result<std::vector<std::string>> list(const char* key) const {
    YAML::Node node = map_[key];
    if (!node || !node.IsSequence()) return fail("{}: {} should be a list", where_, key);
    std::vector<std::string> out;
    for (const YAML::Node& item : node) {
      if (!item.IsScalar()) return fail("{}: {} should hold names", where_, key);
      out.push_back(item.Scalar());
    }
    return out;
  }
  Result<std::map<std::string, YAML::Node>> map(const char* key) const {
    YAML::Node node = map_[key];
    if (!node || !node.IsMap()) return fail("{}: {} should be a map", where_, key);
    std::map<std::string, YAML::Node> out;
    for (const auto& pair : node) out.emplace(pair.first.Scalar(), pair.second);
    return out;
  }
  Result<std::vector<PowerMode>> modes() const {
    std::vector<PowerMode> out;
    for (const YAML::Node& item : map_["power_modes"]) {
      if (!item.IsMap()) return fail("{}: a power mode should be a map", where_);
      Reader mode(item, where_ + " power_modes");
      out.push_back({NB_TRY(mode.text("name")), NB_TRY(mode.number("watts")),
                     1e9 * NB_TRY(mode.number("bandwidth_gbs"))});
    }
    return out;
  }

  Result<std::map<std::string, KernelRate>> kernels() const {
    std::map<std::string, KernelRate> out;
    for (const auto& [scheme, node] : NB_TRY(map("kernels"))) {
      if (!node.IsMap()) return fail("{}: kernels {} should be a map", where_, scheme);
      Reader rate(node, where_ + " kernels " + scheme);
      out[scheme] = {1e9 * NB_TRY(rate.number("decode_gmacs")),
                     1e9 * NB_TRY(rate.number("prefill_gmacs"))};
    }
    return out;
  }
  Result<BlockRates> block() const {
    if (!map_["block"].IsMap()) return fail("{}: block should be a map", where_);
    Reader rates(map_["block"], where_ + " block");
    return BlockRates{1e-6 * NB_TRY(rates.number("decode_us")),
                      1e9 * NB_TRY(rates.number("gvalues")),
                      1e9 * NB_TRY(rates.number("attention_gmacs"))};
  }

 private:
  YAML::Node map_;
  std::string where_;
};

Result<DeviceProfile> profile_of(const YAML::Node& document, const std::string& path) {
  if (!document.IsMap()) return fail("{}: is no device; see devices/README.md", path);
  Reader r(document, path);
  DeviceProfile out;
  out.slug = std::filesystem::path(path).stem().string();
  out.name = NB_TRY(r.text("name"));
  out.kind = NB_TRY(r.text("kind"));
  out.memory = 1e9 * NB_TRY(r.number("memory_gb"));
  out.usable = 1e9 * NB_TRY(r.number("usable_gb"));
  if (document["watts"]) out.watts = NB_TRY(r.number("watts"));
  out.bandwidth = 1e9 * NB_TRY(r.number("bandwidth_gbs"));
  if (document["measured_gbs"])
    out.measured = 1e9 * NB_TRY(r.number("measured_gbs"));
  else
    out.expected_share = NB_TRY(r.number("expected_share"));
  if (out.usable > out.memory || out.expected_bandwidth() > out.bandwidth)
    return fail("{}: usable_gb should be within memory_gb, {}", path,
                out.measured > 0 ? "measured_gbs within bandwidth_gbs" : "expected_share within 1");
  for (const auto& [type, node] : NB_TRY(r.map("peaks")))
    out.peaks[type] = 1e9 * NB_TRY(r.number(node, "peaks " + type));
  out.schemes = NB_TRY(r.list("schemes"));
  out.formats = NB_TRY(r.list("formats"));
  if (document["power_modes"]) out.modes = NB_TRY(r.modes());
  if (document["kernels"]) {
    out.kernels = NB_TRY(r.kernels());
    out.block = NB_TRY(r.block());
  }
  for (const auto& [what, node] : NB_TRY(r.map("sources"))) out.sources[what] = node.Scalar();
  return out;
}

YAML::Node flow(const std::vector<std::string>& names) {
  YAML::Node out(YAML::NodeType::Sequence);
  for (const std::string& name : names) out.push_back(name);
  out.SetStyle(YAML::EmitterStyle::Flow);
  return out;
}

// In billions; three digits are what a measurement of a busy machine is good for.
std::string billions(double value) { return fmt::format("{:.3g}", value / 1e9); }

}  // namespace

double DeviceProfile::best_peak() const {
  double best = 0;
  for (const auto& [type, peak] : peaks) best = std::max(best, peak);
  return best;
}

DeviceProfile DeviceProfile::in(const PowerMode& mode) const {
  DeviceProfile out = *this;
  out.watts = mode.watts;
  out.bandwidth = mode.bandwidth;
  out.measured *= mode.bandwidth / bandwidth;
  return out;
}

Result<DeviceProfile> read_device(const std::string& path) {
  // The library throws for what it cannot read.
  try {
    return profile_of(YAML::Load(NB_TRY(read_file(path, kLargestFile))), path);
  } catch (const YAML::Exception& e) {
    return fail("{}: is not YAML: line {}: {}", path, e.mark.line + 1, e.msg);
  }
}

Result<std::vector<DeviceProfile>> read_devices(const std::string& folder) {
  std::vector<DeviceProfile> out;
  for (const std::string& name : NB_TRY(list_files(folder)))
    if (name.ends_with(".yaml")) out.push_back(NB_TRY(read_device(folder + "/" + name)));
  std::sort(out.begin(), out.end(), [](const auto& a, const auto& b) { return a.slug < b.slug; });
  return out;
}

std::string device_yaml(const DeviceProfile& p) {
  YAML::Node out(YAML::NodeType::Map);
  out["name"] = p.name;
  out["kind"] = p.kind;
  out["memory_gb"] = billions(p.memory);
  out["usable_gb"] = billions(p.usable);
  if (p.watts > 0) out["watts"] = p.watts;
  out["bandwidth_gbs"] = billions(p.bandwidth);
  if (p.measured > 0)
    out["measured_gbs"] = billions(p.measured);
  else
    out["expected_share"] = p.expected_share;
  for (const auto& [type, peak] : p.peaks) out["peaks"][type] = billions(peak);
  out["schemes"] = flow(p.schemes);
  out["formats"] = flow(p.formats);
  for (const auto& [scheme, rate] : p.kernels) {
    out["kernels"][scheme]["decode_gmacs"] = billions(rate.decode);
    out["kernels"][scheme]["prefill_gmacs"] = billions(rate.prefill);
  }
  if (!p.kernels.empty()) {
    out["block"]["decode_us"] = fmt::format("{:.3g}", 1e6 * p.block.decode_seconds);
    out["block"]["gvalues"] = billions(p.block.values);
    out["block"]["attention_gmacs"] = billions(p.block.attention);
  }
  for (const auto& [what, source] : p.sources) out["sources"][what] = source;
  YAML::Emitter text;
  text << out;
  return std::string(text.c_str()) + "\n";
}

}  // namespace nibble
