#include "export/exported_weights.h"

#include "export/onnx/matrices.h"

namespace nibble {
namespace {

using namespace onnx_names;

class ReadBack {
 public:
  ReadBack(const Weights& model, const ExportedWeights& written)
      : model_(model), c_(model.config()), written_(written) {}

  Result<RoundTrip> run() {
    for (int64_t layer = 0; layer < c_.layers; ++layer) NB_OK(block(layer));
    if (c_.final_norm) NB_OK(norm(final_norm(c_)));
    if (c_.embedding_norm) NB_OK(norm(embedding_norm(c_)));
    for (const MatrixSpec& spec : other_matrices(c_)) {
      ExportMatrix m = matrix(spec);
      NB_TRY(compare(m, NB_TRY(written_.floats(m))));
    }
    ExportMatrix embedding = matrix({embedding_module(c_), c_.vocab, c_.embedding_width});
    NB_TRY(compare(embedding, NB_TRY(written_.embedding(embedding))));
    LinearSpec head = head_linear(c_);
    ExportMatrix m = matrix({head.module, head.n, head.k});
    if (auto own = NB_TRY(written_.head(m, c_.tied_head))) NB_TRY(compare(m, std::move(own)));
    NB_OK(bias(head));
    RoundTrip out = sums_.finish();
    out.size.linear_bytes = linear_bytes_;
    out.size.linear_weights = linear_weights_;
    out.size.file_bytes = written_.weight_bytes();
    out.size.parameters = NB_TRY(measure_size(model_)).parameters;
    return out;
  }

 private:
  ExportMatrix matrix(const MatrixSpec& m, bool in_block = false) const {
    return {m.module, m.n, m.k, model_.scheme_of(m.module), in_block};
  }

  Status block(int64_t layer) {
    for (const LinearSpec& spec : block_linears(c_, layer)) {
      ExportMatrix m = matrix({spec.module, spec.n, spec.k}, true);
      linear_bytes_ += NB_TRY(compare(m, NB_TRY(written_.linear(m))));
      linear_weights_ += m.n * m.k;
      NB_OK(bias(spec));
    }
    for (const NormSpec& spec : block_norms(c_, layer)) NB_OK(norm(spec));
    return {};
  }

  // -> the bytes of the matrix in the file.
  Result<int64_t> compare(const ExportMatrix& m, std::unique_ptr<ExportedMatrix> stored) {
    RowReader source = NB_TRY(RowReader::open(model_, m.module, m.n, m.k));
    auto rows = [&](int64_t first, int64_t count, float* out) { stored->rows(first, count, out); };
    if (stored->equals(source))
      sums_.add_equal(m.n, m.k, source);
    else
      sums_.add(m.module, m.n, m.k, source, MatrixComparison::Rows(rows));
    source.release();
    stored->release();
    return stored->bytes();
  }

  Status vector(const std::string& name, std::span<const float> source) {
    sums_.add_vector(source, NB_TRY(written_.vector(name)));
    return {};
  }
  Status norm(const NormSpec& spec) {
    Norm norm = NB_TRY(model_.norm(spec));
    NB_OK(vector(spec.module + ".weight", norm.weight));
    return norm.bias.empty() ? Status{} : vector(spec.module + ".bias", norm.bias);
  }
  Status bias(const LinearSpec& spec) {
    std::vector<float> values = NB_TRY(model_.bias(spec));
    return values.empty() ? Status{} : vector(spec.module + kBias, values);
  }

  const Weights& model_;
  const DecoderConfig& c_;
  const ExportedWeights& written_;
  MatrixComparison sums_;
  int64_t linear_bytes_ = 0, linear_weights_ = 0;
};

}  // namespace

Result<RoundTrip> compare_exported(const Weights& model, const ExportedWeights& written) {
  return ReadBack(model, written).run();
}

}  // namespace nibble
