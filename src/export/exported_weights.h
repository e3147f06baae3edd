// The weights of an exported graph, read back, compared with the model's, and run by our kernels.
#pragma once

#include <memory>

#include "export/hf_folder.h"
#include "export/row_reader.h"

namespace nibble {

// A matrix (n, k) in an exported file.
class ExportedMatrix {
 public:
  virtual ~ExportedMatrix() = default;
  virtual int64_t bytes() const = 0;
  // Whether the stored bytes are the source's, so that nothing needs to be decoded.
  virtual bool equals(const RowReader& source) const = 0;
  // out: (count, k).
  virtual void rows(int64_t first, int64_t count, float* out) const = 0;
  // What its integers mean; none of floats.
  virtual std::optional<Scheme> scheme() const = 0;
  // Of integers. codes: (count, k), unsigned; grids: (count, groups).
  virtual void integers(int64_t first, int64_t count, uint8_t* codes, Grid* grids) const = 0;
  // Whether the file's operator multiplies by inputs rounded to int8.
  virtual bool rounds_inputs() const = 0;
  // Of an operator between integers: theirs.
  virtual std::optional<LinearGrids> grids() const { return {}; }
  // Gives mapped pages back.
  virtual void release() const = 0;
};

class ExportedWeights {
 public:
  virtual ~ExportedWeights() = default;
  // A linear of a block. An error where it is absent or not as the model has it; so of the others.
  virtual Result<std::unique_ptr<ExportedMatrix>> linear(const ExportMatrix& m) const = 0;
  // Null for a tied head without a copy of its own.
  virtual Result<std::unique_ptr<ExportedMatrix>> head(const ExportMatrix& m, bool tied) const = 0;
  // Whose rows are picked: the embedding.
  virtual Result<std::unique_ptr<ExportedMatrix>> embedding(const ExportMatrix& m) const = 0;
  // One that stays float.
  virtual Result<std::unique_ptr<ExportedMatrix>> floats(const ExportMatrix& m) const = 0;
  virtual Result<std::vector<float>> vector(const std::string& name) const = 0;
  virtual int64_t weight_bytes() const = 0;  // of all
};

Result<RoundTrip> compare_exported(const Weights& model, const ExportedWeights& written);

// The model with all matrices of the file in place of its own, norms and biases as the model has
// them, but for biases of operators between integers, which are the file's. Keeps `written` and
// what that keeps.
Result<Weights> exported_model(const Weights& model,
                               std::shared_ptr<const ExportedWeights> written);

}  // namespace nibble
