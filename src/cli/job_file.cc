#include "cli/job_file.h"

#include <yaml-cpp/yaml.h>

#include <cmath>
#include <filesystem>
#include <functional>
#include <map>

#include "base/file.h"
#include "cli/common.h"

namespace nibble {
namespace {

constexpr int64_t kLargestFile = 1 << 20;

using Setter = std::function<Status(const YAML::Node&, const std::string& where)>;
using Keys = std::map<std::string, Setter>;

// Gives every entry of a map to the setter of its key.
Status read_map(const YAML::Node& map, const std::string& where, const Keys& keys) {
  if (!map.IsMap()) return fail("{}: should be a map", where);
  for (const auto& pair : map) {
    std::string key = pair.first.IsScalar() ? pair.first.Scalar() : "";
    auto setter = keys.find(key);
    if (setter == keys.end()) return fail("{}: {} is no key of a job", where, in_quotes(key));
    NB_OK(setter->second(pair.second, where + ": " + key));
  }
  return {};
}

Setter text_to(std::string& out) {
  return [&out](const YAML::Node& node, const std::string& where) -> Status {
    if (!node.IsScalar() || node.Scalar().empty()) return fail("{}: should have one value", where);
    out = node.Scalar();
    return {};
  };
}

Setter path_to(std::string& out, const std::string& folder) {
  return [&out, folder](const YAML::Node& node, const std::string& where) -> Status {
    NB_OK(text_to(out)(node, where));
    out = (std::filesystem::path(folder) / out).lexically_normal().string();
    return {};
  };
}

// A number, not below zero: as it is, "1%" for a share too, or a size as "5MB".
enum class Unit : uint8_t { kPlain, kShare, kBytes };
Setter number_to(std::optional<double>& out, Unit unit) {
  return [&out, unit](const YAML::Node& node, const std::string& where) -> Status {
    std::string text = node.IsScalar() ? node.Scalar() : "";
    if (unit == Unit::kBytes) {
      Result<double> size = parse_size(text);
      if (!size) return fail("{}: should be a size, as 500MB", where);
      out = *size;
      return {};
    }
    std::optional<double> value = parse_share(text);
    if (!value || (unit == Unit::kPlain && text.ends_with('%')))
      return fail("{}: should be a number{}", where, unit == Unit::kShare ? ", as 1%" : "");
    if (!std::isfinite(*value) || *value < 0) return fail("{}: should not be below 0", where);
    out = value;
    return {};
  };
}

Status read_targets(const YAML::Node& node, const std::string& where,
                    std::vector<std::string>& out) {
  if (!node.IsSequence())
    return fail("{}: should be a list of formats, as [gguf, onnx:nbits]", where);
  for (const YAML::Node& item : node) {
    std::string target;
    NB_OK(text_to(target)(item, where));
    out.push_back(target);
  }
  return {};
}

Keys gate_keys(JobGates& g) {
  return {{"max_increase", number_to(g.max_increase, Unit::kShare)},
          {"max_kl", number_to(g.max_kl, Unit::kPlain)},
          {"min_top1", number_to(g.min_top1, Unit::kShare)},
          {"max_bytes", number_to(g.max_bytes, Unit::kBytes)},
          {"max_ms_per_token", number_to(g.max_ms_per_token, Unit::kPlain)}};
}

Keys evaluate_keys(Job& job, const std::string& folder) {
  return {{"text", path_to(job.text, folder)},
          {"activations", text_to(job.activations)},
          {"tokens", [&job](const YAML::Node& node, const std::string& where) -> Status {
             if (!YAML::convert<int64_t>::decode(node, job.tokens) || job.tokens < 1)
               return fail("{}: should be a whole number above 0", where);
             return {};
           }}};
}

Status fill(Job& job, const YAML::Node& document, const std::string& path) {
  std::string folder = std::filesystem::path(path).parent_path().string();
  auto below = [](const Keys& keys) -> Setter {
    return [keys](const YAML::Node& node, const std::string& where) {
      return read_map(node, where, keys);
    };
  };
  Keys keys = {{"model", path_to(job.model, folder)},
               {"output", path_to(job.output, folder)},
               {"calibration", path_to(job.calibration, folder)},
               {"evaluate", below(evaluate_keys(job, folder))},
               {"gate", below(gate_keys(job.gates))},
               {"quantize",
                [&job](const YAML::Node& node, const std::string& where) -> Status {
                  if (!node.IsMap())
                    return fail("{}: should be a recipe, a map of rules and options", where);
                  job.recipe = YAML::Dump(node) + "\n";
                  return {};
                }},
               {"report",
                [&job](const YAML::Node& node, const std::string& where) -> Status {
                  if (!YAML::convert<bool>::decode(node, job.report))
                    return fail("{}: should be true or false", where);
                  return {};
                }},
               {"export", [&job](const YAML::Node& node, const std::string& where) {
                  return read_targets(node, where, job.exports);
                }}};
  return read_map(document, path, keys);
}

}  // namespace

Result<Job> read_job(const std::string& path) {
  Job job;
  std::string text = NB_TRY(read_file(path, kLargestFile));
  // The library throws for what it cannot read.
  try {
    NB_OK(fill(job, YAML::Load(text), path));
  } catch (const YAML::Exception& e) {
    return fail("{}: {}", path, e.what());
  }
  const JobGates& g = job.gates;
  if (job.recipe.empty()) return fail("{}: should have a recipe under quantize", path);
  if (job.text.empty() && (g.max_increase || g.max_kl || g.min_top1))
    return fail("{}: its gate needs a text under evaluate to be measured on", path);
  if (job.text.empty() && job.report)
    return fail("{}: its report needs a text under evaluate to be measured on", path);
  return job;
}

}  // namespace nibble
