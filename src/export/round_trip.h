// What an export kept: its weights, read back, against those it was made from.
#pragma once

#include <optional>
#include <string>

#include "base/json.h"
#include "model/size.h"
#include "model/weights.h"

namespace nibble {

struct RoundTrip {
  int64_t linears = 0;  // matrices compared: the blocks' linears, the embedding, an own head
  // Those of them with the source's integers and scales, or, where a side has no integers, with
  // every value equal.
  int64_t exact = 0;
  double error = 0;     // sqrt(sum (w' - w)^2 / sum w^2) over all of them
  double largest = 0;   // |w' - w|
  std::string worst;    // the module with the largest error of its own; empty where all are exact
  int64_t vectors = 0;  // norms and biases
  int64_t exact_vectors = 0;
  int64_t foreign_vectors = 0;  // the rest, but for those that exported_model() takes from the file
  SizeReport size;              // of what was written; parameters are the source's
  // KL to the float model, beyond that of a quantized source with the same inputs; where measured.
  std::optional<double> kl_added;

  bool lossless() const { return exact == linears && exact_vectors == vectors; }
  // "lossless: 28 of 28 matrices bit for bit" or "requantized, KL +x, weights' relative error y".
  std::string verdict() const;
  Json json() const;
};

// Compares matrix by matrix and vector by vector, streaming. Both must be one architecture of equal
// shapes.
Result<RoundTrip> compare_weights(const Weights& source, const Weights& written);

// One matrix (n, k) into the sums: rows of both sides by functions that fill (k) floats, or those
// of some rows at once, (count, k), where that is quicker. For formats that our Weights do not
// open.
class MatrixComparison {
 public:
  using Row = std::function<void(int64_t row, float* out)>;
  using Rows = std::function<void(int64_t first, int64_t count, float* out)>;
  void add(const std::string& module, int64_t n, int64_t k, const Row& source, const Row& written);
  void add(const std::string& module, int64_t n, int64_t k, const Row& source, const Rows& written);
  // One that is known to be equal.
  void add_equal(int64_t n, int64_t k, Row source);
  // runs_as_written: exported_model() has the written one.
  void add_vector(std::span<const float> source, std::span<const float> written,
                  bool runs_as_written = false);
  RoundTrip finish() const;

 private:
  RoundTrip out_;
  double squares_ = 0, total_ = 0, worst_ = 0;
  struct Equal {
    int64_t n, k;
    Row source;
  };
  std::vector<Equal> equal_;  // read only where another matrix differs: `error` is over all
};

}  // namespace nibble
