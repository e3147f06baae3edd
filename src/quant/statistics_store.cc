#include "quant/statistics_store.h"

#include <algorithm>
#include <cstring>

#include "base/log.h"
#include "formats/checkpoint.h"
#include "formats/safetensors.h"
#include "quant/window_flows.h"

namespace nibble {
namespace {

constexpr int kVersion = 1;
constexpr const char* kStageNames[] = {"qkv", "out", "gate_up", "down"};

// "qkv"; "down.5" of an expert's.
std::string input_name(const LinearSpec& spec) {
  std::string stage = kStageNames[static_cast<size_t>(spec.stage)];
  return spec.expert < 0 ? stage : fmt::format("{}.{}", stage, spec.expert);
}

std::string block_path(const std::string& folder, int64_t layer) {
  return fmt::format("{}/block-{:05}.safetensors", folder, layer);
}

size_t triangle(int64_t k) { return static_cast<size_t>(k * (k + 1) / 2); }

TensorView floats(int64_t count, const auto& value) {
  std::vector<float> v(static_cast<size_t>(count));
  for (size_t i = 0; i < v.size(); ++i) v[i] = static_cast<float>(value(static_cast<int64_t>(i)));
  return own_floats(DType::kF32, {count}, v);
}

void add_tensors(const std::string& stage, const InputStatistics& s,
                 std::vector<NamedTensor>& out) {
  int64_t k = s.cols();
  std::vector<float> H(triangle(k));
  size_t at = 0;
  for (int64_t i = 0; i < k; ++i)
    for (int64_t j = i; j < k; ++j)
      H[at++] = static_cast<float>(s.hessian()[static_cast<size_t>(i * k + j)]);
  out.push_back({stage + ".hessian", own_floats(DType::kF32, {static_cast<int64_t>(H.size())}, H)});
  auto tokens = static_cast<double>(s.tokens());
  out.push_back({stage + ".sum", floats(k, [&](int64_t j) { return s.mean(j) * tokens; })});
  out.push_back({stage + ".absmax", floats(k, [&](int64_t j) { return s.absmax(j); })});
  out.push_back({stage + ".tokens", floats(1, [&](int64_t) { return tokens; })});
}

// The float block's inputs, stage by stage, and the windows behind the block.
Result<std::vector<NamedTensor>> gather_block(const Weights& weights, int64_t layer,
                                              WindowFlows& flows) {
  Block block = NB_TRY(load_block(weights, layer, Activations::kFloat));
  std::vector<LinearSpec> specs = block_linears(weights.config(), layer);
  std::vector<NamedTensor> tensors;
  flows.enter(block);
  for (Stage stage : kStages) {
    for (const std::vector<LinearSpec>& group : input_groups(specs, stage)) {
      InputStatistics s = flows.statistics(group[0], InputStatistics::Need::kHessian);
      if (s.tokens() == 0) continue;  // an expert that no token has reached
      NB_OK(s.finish(group[0].module));
      add_tensors(input_name(group[0]), s, tensors);
    }
    flows.advance(stage, block);
  }
  flows.leave(block);
  return tensors;
}

Result<std::vector<double>> read_floats(const Checkpoint& stored, const std::string& name,
                                        int64_t count) {
  TensorView view = NB_TRY(stored.get(name, std::array{count}));
  if (view.dtype != DType::kF32) return fail("{}: {} is not float32", stored.folder(), name);
  std::vector<float> v(static_cast<size_t>(count));
  std::memcpy(v.data(), view.bytes.data(), view.bytes.size());
  view.release();
  return std::vector<double>(v.begin(), v.end());
}

}  // namespace

Result<StatisticsStore> StatisticsStore::open(const std::string& folder,
                                              const std::string& source_digest) {
  StatisticsStore store;
  store.folder_ = folder;
  std::string path = folder + "/statistics.json";
  store.fingerprint_ = NB_TRY(read_json(path));
  if (NB_TRY(get_number(store.fingerprint_, "version", 0, path)) != kVersion)
    return fail("{}: is no statistics file of version {}; make it anew with nibble calibrate", path,
                kVersion);
  if (NB_TRY(get_string(store.fingerprint_, "source", "", path)) != source_digest)
    return fail("{}: statistics of another model than this; make them anew with nibble calibrate",
                folder);
  return store;
}

std::string StatisticsStore::source() const {
  std::string path = folder_ + "/statistics.json";
  auto calibration = fingerprint_.find("calibration");
  if (calibration == fingerprint_.end()) return "statistics of the float model";
  return get_string(*calibration, "source", "", path).value_or("") +
         ", statistics of the float model";
}

Result<bool> StatisticsStore::reached(int64_t layer, const LinearSpec& spec) const {
  std::string path = block_path(folder_, layer);
  SafetensorsFile file = NB_TRY(open_safetensors(path));
  return Checkpoint::of_tensors(path, std::move(file.tensors)).has(input_name(spec) + ".tokens");
}

Result<float> StatisticsStore::largest(int64_t layer, const LinearSpec& spec) const {
  std::string path = block_path(folder_, layer);
  SafetensorsFile file = NB_TRY(open_safetensors(path));
  Checkpoint stored = Checkpoint::of_tensors(path, std::move(file.tensors));
  std::vector<double> each = NB_TRY(read_floats(stored, input_name(spec) + ".absmax", spec.k));
  return static_cast<float>(std::ranges::max(each));
}

Result<InputStatistics> StatisticsStore::load(int64_t layer, const LinearSpec& spec) const {
  std::string path = block_path(folder_, layer), name = input_name(spec);
  int64_t k = spec.k;
  SafetensorsFile file = NB_TRY(open_safetensors(path));
  Checkpoint stored = Checkpoint::of_tensors(path, std::move(file.tensors));
  InputStatistics::Sums sums;
  sums.sum = NB_TRY(read_floats(stored, name + ".sum", k));
  sums.absmax = NB_TRY(read_floats(stored, name + ".absmax", k));
  sums.tokens = static_cast<int64_t>(NB_TRY(read_floats(stored, name + ".tokens", 1))[0]);
  std::vector<double> H =
      NB_TRY(read_floats(stored, name + ".hessian", static_cast<int64_t>(triangle(k))));
  if (sums.tokens < 1) return fail("{}: {} counts no tokens", path, name);
  sums.h.resize(static_cast<size_t>(k * k));
  size_t at = 0;
  for (int64_t i = 0; i < k; ++i)
    for (int64_t j = i; j < k; ++j) sums.h[static_cast<size_t>(i * k + j)] = H[at++];
  InputStatistics out(std::move(sums), InputStatistics::Need::kHessian);
  NB_OK(out.finish(path + ": " + name));
  return out;
}

Result<StatisticsReport> write_statistics(const Weights& weights, const CalibrationSet& windows,
                                          const std::string& folder, bool force) {
  const DecoderConfig& c = weights.config();
  OutputFolder out = NB_TRY(OutputFolder::create(folder, force, false));
  Embedding embedding = NB_TRY(weights.embedding());
  WindowFlows flows = NB_TRY(WindowFlows::create(c, embedding, windows));
  StatisticsReport report;
  Progress progress("block", c.layers);
  for (int64_t layer = 0; layer < c.layers; ++layer) {
    std::vector<NamedTensor> tensors = NB_TRY(gather_block(weights, layer, flows));
    for (const NamedTensor& t : tensors) report.bytes += static_cast<int64_t>(t.view.bytes.size());
    NB_OK(write_safetensors(block_path(out.staging(), layer), std::move(tensors), {}));
    progress.step(++report.blocks);
  }
  Json fingerprint = {
      {"version", kVersion},
      {"source", NB_TRY(weights.digest())},
      {"calibration",
       {{"source", windows.source}, {"hash", windows.hash}, {"tokens", windows.tokens()}}}};
  NB_OK(write_file(out.staging() + "/statistics.json", fingerprint.dump(2) + "\n"));
  NB_OK(out.publish());
  return report;
}

}  // namespace nibble
