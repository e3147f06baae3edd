#include "export/exported_weights.h"

#include <set>

#include "base/panels.h"
#include "export/onnx/matrices.h"
#include "formats/weights/weight_format.h"

namespace nibble {
namespace {

using namespace onnx_names;

using Matrix = std::unique_ptr<ExportedMatrix>;

// Every matrix in the file; of a tied head with a copy of its own, the embedding's module twice.
Status each_matrix(const Weights& model, const ExportedWeights& written,
                   const std::function<Status(const ExportMatrix& m, Matrix stored)>& body) {
  const DecoderConfig& c = model.config();
  auto matrix = [&](const std::string& module, int64_t n, int64_t k, bool in_block) {
    return ExportMatrix{module, n, k, model.scheme_of(module), in_block};
  };
  for (int64_t layer = 0; layer < c.layers; ++layer)
    for (const LinearSpec& spec : block_linears(c, layer)) {
      ExportMatrix m = matrix(spec.module, spec.n, spec.k, true);
      NB_OK(body(m, NB_TRY(written.linear(m))));
    }
  for (const MatrixSpec& spec : other_matrices(c)) {
    ExportMatrix m = matrix(spec.module, spec.n, spec.k, false);
    NB_OK(body(m, NB_TRY(written.floats(m))));
  }
  ExportMatrix embedding = matrix(embedding_module(c), c.vocab, c.embedding_width, false);
  NB_OK(body(embedding, NB_TRY(written.embedding(embedding))));
  LinearSpec head = head_linear(c);
  ExportMatrix m = matrix(head.module, head.n, head.k, false);
  if (Matrix own = NB_TRY(written.head(m, c.tied_head))) NB_OK(body(m, std::move(own)));
  return {};
}

class ReadBack {
 public:
  ReadBack(const Weights& model, const ExportedWeights& written)
      : model_(model), c_(model.config()), written_(written) {}

  Result<RoundTrip> run() {
    NB_OK(each_matrix(model_, written_, [&](const ExportMatrix& m, Matrix stored) {
      return compare(m, std::move(stored));
    }));
    for (int64_t layer = 0; layer < c_.layers; ++layer) {
      for (const LinearSpec& spec : block_linears(c_, layer)) NB_OK(bias(spec));
      for (const NormSpec& spec : block_norms(c_, layer)) NB_OK(norm(spec));
    }
    if (c_.final_norm) NB_OK(norm(final_norm(c_)));
    if (c_.embedding_norm) NB_OK(norm(embedding_norm(c_)));
    NB_OK(bias(head_linear(c_)));
    RoundTrip out = sums_.finish();
    out.size.linear_bytes = linear_bytes_;
    out.size.linear_weights = linear_weights_;
    out.size.file_bytes = written_.weight_bytes();
    out.size.parameters = NB_TRY(measure_size(model_)).parameters;
    return out;
  }

 private:
  Status compare(const ExportMatrix& m, Matrix stored) {
    RowReader source = NB_TRY(RowReader::open(model_, m.module, m.n, m.k));
    auto rows = [&](int64_t first, int64_t count, float* out) { stored->rows(first, count, out); };
    if (stored->equals(source))
      sums_.add_equal(m.n, m.k, source);
    else
      sums_.add(m.module, m.n, m.k, source, MatrixComparison::Rows(rows));
    source.release();
    stored->release();
    if (stored->grids()) between_integers_.insert(m.module);
    if (m.in_block) {
      linear_bytes_ += stored->bytes();
      linear_weights_ += m.n * m.k;
    }
    return {};
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
    if (values.empty()) return {};
    std::vector<float> stored = NB_TRY(written_.vector(spec.module + kBias));
    sums_.add_vector(values, stored, /*runs_as_written=*/between_integers_.contains(spec.module));
    return {};
  }

  const Weights& model_;
  const DecoderConfig& c_;
  const ExportedWeights& written_;
  MatrixComparison sums_;
  std::set<std::string> between_integers_;  // modules
  int64_t linear_bytes_ = 0, linear_weights_ = 0;
};

// The file's matrices as a form of stored weights.
class ExportedForm : public WeightFormat {
 public:
  explicit ExportedForm(std::shared_ptr<const ExportedWeights> written)
      : written_(std::move(written)) {}
  void add(const std::string& module, Matrix stored) { matrices_[module] = std::move(stored); }

  bool holds(const Checkpoint&, const std::string& module) const override {
    return matrices_.contains(module);
  }
  bool quantizes(const Checkpoint& c, const std::string& module) const override {
    return scheme_of(c, module).has_value();
  }
  std::optional<Scheme> scheme_of(const Checkpoint&, const std::string& module) const override {
    return matrices_.at(module)->scheme();
  }
  bool keeps_float_inputs(const Checkpoint&, const std::string& module) const override {
    return !matrices_.at(module)->rounds_inputs();
  }
  std::optional<LinearGrids> grids(const Checkpoint&, const std::string& module) const override {
    return matrices_.at(module)->grids();
  }
  Result<std::optional<std::vector<float>>> bias(const Checkpoint& c,
                                                 const std::string& module) const override {
    if (!grids(c, module)) return std::nullopt;
    return NB_TRY(written_->vector(module + kBias));
  }
  // The file was opened against the model's shapes.
  Status check(const Checkpoint&, const std::string&, int64_t, int64_t) const override {
    return {};
  }
  Result<QuantizedMatrix> quantized(const Checkpoint&, const std::string& module, int64_t n,
                                    int64_t k) const override {
    const ExportedMatrix& m = *matrices_.at(module);
    Scheme scheme = *m.scheme();
    QuantizedBuilder out(scheme, n, k);
    auto groups = static_cast<size_t>(scheme.groups(k));
    each_panel(n, [&](int64_t first, int64_t count) {
      std::vector<uint8_t> codes(static_cast<size_t>(count * k));
      std::vector<Grid> grids(static_cast<size_t>(count) * groups);
      m.integers(first, count, codes.data(), grids.data());
      for (int64_t r = 0; r < count; ++r)
        out.set_row(first + r, codes.data() + r * k,
                    std::span(grids).subspan(static_cast<size_t>(r) * groups, groups));
    });
    m.release();
    return out.finish();
  }
  Result<TensorView> floats(const Checkpoint& c, const std::string& module, int64_t n,
                            int64_t k) const override {
    const ExportedMatrix& m = *matrices_.at(module);
    if (m.scheme()) return WeightFormat::floats(c, module, n, k);
    std::vector<std::byte> bytes(static_cast<size_t>(n * k) * sizeof(float));
    auto* w = reinterpret_cast<float*>(bytes.data());
    each_panel(n, [&](int64_t first, int64_t count) { m.rows(first, count, w + first * k); });
    m.release();
    return own_bytes(DType::kF32, {n, k}, std::move(bytes));
  }
  Result<int64_t> stored_bytes(const Checkpoint&, const std::string& module, int64_t,
                               int64_t) const override {
    return matrices_.at(module)->bytes();
  }

 private:
  std::shared_ptr<const ExportedWeights> written_;  // the matrices lie in it
  std::map<std::string, Matrix> matrices_;
};

}  // namespace

Result<RoundTrip> compare_exported(const Weights& model, const ExportedWeights& written) {
  return ReadBack(model, written).run();
}

Result<Weights> exported_model(const Weights& model,
                               std::shared_ptr<const ExportedWeights> written) {
  auto form = std::make_shared<ExportedForm>(written);
  bool tied = model.config().tied_head;
  NB_OK(each_matrix(model, *written, [&](const ExportMatrix& m, Matrix stored) -> Status {
    if (form->holds(model.checkpoint(), m.module)) {
      tied = false;
      form->add(head_module(model.config()), std::move(stored));
    } else {
      form->add(m.module, std::move(stored));
    }
    return {};
  }));
  return Weights::of_tensors(model, model.checkpoint().tensors(), std::move(form), tied);
}

}  // namespace nibble
