#include "quant/outlier_columns.h"

#include <cstring>

namespace nibble {

std::vector<NamedTensor> outlier_columns(const FloatMatrix& m, const InputStatistics& input,
                                         double threshold, DType type) {
  std::vector<int32_t> columns;
  double least = threshold * threshold * static_cast<double>(input.tokens());
  for (int64_t j = 0; j < m.k; ++j)
    if (input.diagonal(j) >= least) columns.push_back(static_cast<int32_t>(j));
  if (columns.empty()) return {};
  std::vector<float> w;
  for (int64_t r = 0; r < m.n; ++r)
    for (int32_t j : columns) w.push_back(m.w[static_cast<size_t>(r * m.k + j)]);
  std::vector<std::byte> bytes(columns.size() * sizeof columns[0]);
  std::memcpy(bytes.data(), columns.data(), bytes.size());
  auto count = static_cast<int64_t>(columns.size());
  return {{m.name + ".outlier_columns", own_bytes(DType::kI32, {count}, std::move(bytes))},
          {m.name + ".outlier_weight", own_floats(type, {m.n, count}, w)}};
}

}  // namespace nibble
