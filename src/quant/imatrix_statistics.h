// llama.cpp's importance matrices as statistics, both ways.
#pragma once

#include "formats/imatrix.h"
#include "quant/statistics_store.h"

namespace nibble {

// A file's E[x^2] of each linear, by its name in GGUF; the diagonal of H and nothing else.
class ImatrixStatistics : public StatisticsSource {
 public:
  static Result<ImatrixStatistics> open(const std::string& path);

  InputStatistics::Need holds() const override { return InputStatistics::Need::kDiagonal; }
  // Fails where the file has no entry for the linear, or one of another width.
  Result<InputStatistics> load(int64_t layer, const LinearSpec& spec) const override;
  Result<bool> reached(int64_t layer, const LinearSpec& spec) const override;
  // {"imatrix": path, "calibration": {"source", "hash"}}
  Json fingerprint() const override;
  std::string source() const override;

 private:
  Result<std::vector<double>> means(int64_t layer, const LinearSpec& spec) const;
  std::string path_, hash_;
  Imatrix imatrix_;
};

// What llama-imatrix would have written of the same tokens: the diagonals of a store, of every
// linear of the blocks.
Result<Imatrix> imatrix_of(const StatisticsStore& store, const DecoderConfig& config,
                           const CalibrationSet& windows);

}  // namespace nibble
