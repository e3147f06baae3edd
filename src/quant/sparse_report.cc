#include "quant/sparse_report.h"

#include <algorithm>

#include "base/threads.h"
#include "quant/block_pass.h"

namespace nibble {

int64_t count_zeros(const QuantizedMatrix& q) {
  std::vector<int64_t> zeros(static_cast<size_t>(q.rows()));
  parallel_for(q.rows(), [&](int64_t r) {
    std::vector<uint8_t> codes(static_cast<size_t>(q.cols()));
    q.codes(r, codes.data());
    for (int64_t g = 0, size = q.group_size(); g < q.groups(); ++g) {
      auto first = codes.begin() + g * size,
           last = codes.begin() + std::min(q.cols(), (g + 1) * size);
      zeros[static_cast<size_t>(r)] += std::count(first, last, q.grid(r, g).zero);
    }
  });
  int64_t total = 0;
  for (int64_t z : zeros) total += z;
  return total;
}

Scheme dense_rival(const QuantizedMatrix& sparse) {
  Scheme s = sparse.scheme();
  int64_t weights = sparse.rows() * sparse.cols(), kept = weights - count_zeros(sparse);
  int64_t dense_codes = sparse.rows() * QuantizedMatrix::row_bytes(s, sparse.cols());
  int64_t bytes = sparse.stored_bytes() - dense_codes + (weights + kept * s.bits + 7) / 8;
  for (s.bits = 8; s.bits > 2; --s.bits)
    if (QuantizedMatrix::stored_bytes(s, sparse.rows(), sparse.cols()) <= bytes) break;
  return s;
}

Result<std::vector<double>> dense_errors(std::span<FloatMatrix> matrices,
                                         std::span<const QuantizedMatrix> sparse,
                                         const InputStatistics& statistics,
                                         const MethodOptions& options) {
  for (size_t i = 0; i < matrices.size(); ++i) matrices[i].scheme = dense_rival(sparse[i]);
  const Method* gptq = NB_TRY(find_method("gptq"));
  MethodResult dense = NB_TRY(gptq->quantize(matrices, &statistics, options));
  std::vector<double> errors;
  for (size_t i = 0; i < matrices.size(); ++i)
    errors.push_back(relative_error(matrices[i], dense.matrices[i], &statistics));
  return errors;
}

}  // namespace nibble
