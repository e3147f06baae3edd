#include "quant/imatrix_statistics.h"

#include <algorithm>

#include "model/gguf/names.h"

namespace nibble {
namespace {

// The experts of a layer share an entry.
std::string entry_name(int64_t layer, const LinearSpec& spec) {
  return fmt::format("blk.{}.{}{}.weight", layer, gguf_linear_name(spec.role),
                     spec.expert >= 0 ? "_exps" : "");
}

}  // namespace

Result<ImatrixStatistics> ImatrixStatistics::open(const std::string& path) {
  ImatrixStatistics out;
  out.path_ = path;
  out.imatrix_ = NB_TRY(read_imatrix(path));
  std::vector<NamedTensor> tensors;
  for (const auto& [name, e] : out.imatrix_.entries)
    tensors.push_back(
        {name, own_floats(DType::kF32, {static_cast<int64_t>(e.squares.size())}, e.squares)});
  out.hash_ = NB_TRY(digest_of("imatrix", tensors));
  return out;
}

std::string ImatrixStatistics::source() const {
  return fmt::format("importance matrix {}{}", path_,
                     imatrix_.datasets.empty() ? "" : " of " + imatrix_.datasets.front());
}

Json ImatrixStatistics::fingerprint() const {
  return {{"imatrix", path_}, {"calibration", {{"source", source()}, {"hash", hash_}}}};
}

// Empty of an expert that no token reached.
Result<std::vector<double>> ImatrixStatistics::means(int64_t layer, const LinearSpec& spec) const {
  std::string name = entry_name(layer, spec);
  auto found = imatrix_.entries.find(name);
  if (found == imatrix_.entries.end())
    return fail("{}: has no entry {}, which {} needs; was it made of this model?", path_,
                in_quotes(name), spec.module);
  const Imatrix::Entry& e = found->second;
  int64_t matrix = std::max<int64_t>(0, spec.expert), values = std::ssize(e.squares);
  // The older form counts all experts at once.
  bool at_once = spec.expert >= 0 && e.counts.size() == 1;
  int64_t matrices = at_once ? values / spec.k : std::ssize(e.counts);
  if (matrix >= matrices || values != spec.k * matrices)
    return fail("{}: the entry {} has {} values, {} has {} inputs", path_, in_quotes(name), values,
                spec.module, spec.k);
  return e.means(static_cast<size_t>(matrix), static_cast<size_t>(spec.k));
}

Result<bool> ImatrixStatistics::reached(int64_t layer, const LinearSpec& spec) const {
  return !NB_TRY(means(layer, spec)).empty();
}

Result<InputStatistics> ImatrixStatistics::load(int64_t layer, const LinearSpec& spec) const {
  std::vector<double> mean = NB_TRY(means(layer, spec));
  if (mean.empty())
    return fail("{}: no token reached {}", path_, in_quotes(entry_name(layer, spec)));
  std::vector<double> none(mean.size());
  return InputStatistics({1, std::move(mean), none, none}, InputStatistics::Need::kDiagonal);
}

Result<Imatrix> imatrix_of(const StatisticsStore& store, const DecoderConfig& c,
                           const CalibrationSet& windows) {
  Imatrix out;
  out.datasets = {windows.source};
  out.chunks = static_cast<int64_t>(windows.windows.size());
  if (out.chunks > 0) out.chunk_size = static_cast<int64_t>(windows.windows[0].size());
  for (int64_t layer = 0; layer < c.layers; ++layer)
    for (const LinearSpec& spec : block_linears(c, layer)) {
      Imatrix::Entry& e = out.entries[entry_name(layer, spec)];
      bool reached = spec.expert < 0 || NB_TRY(store.reached(layer, spec));
      std::optional<InputStatistics> s;
      if (reached) s = NB_TRY(store.load(layer, spec));
      e.counts.push_back(s ? s->tokens() : 0);
      for (int64_t j = 0; j < spec.k; ++j)
        e.squares.push_back(s ? static_cast<float>(s->diagonal(j)) : 0);
    }
  return out;
}

}  // namespace nibble
