// Offline rotations. R1 turns the residual stream: what writes it (embedding, o, down) is
// multiplied by R1, what reads it (q, k, v, gate, up, head) by its inverse, after the norms'
// weights have gone into their readers, since only a norm of ones commutes with a rotation. R2
// turns each head's values between v and o. Nothing changes at run time. Source: QuaRot, arXiv
// 2404.00456; SpinQuant, arXiv 2405.16406, figure 1.
#include "quant/transforms/rotate.h"

#include <filesystem>
#include <set>

#include "base/checked.h"
#include "base/log.h"
#include "base/threads.h"
#include "formats/safetensors.h"
#include "model/blas.h"
#include "quant/transforms/hadamard.h"
#include "quant/transforms/transform.h"

namespace nibble {
namespace {

constexpr int64_t kRows = 64;                // a chunk's
constexpr uint32_t kValueSeed = 0x9e3779b9;  // R2's signs are others than R1's

struct Matrix {
  int64_t n = 0, k = 0;
  std::vector<float> w;  // (n, k)
};

Result<Matrix> load(const Weights& source, const std::string& name, int64_t n, int64_t k) {
  return Matrix{n, k, NB_TRY(source.floats(name, n, k))};
}

// Multiplies the columns by a norm's weight.
void scale_columns(Matrix& m, const std::vector<float>& by) {
  for (size_t i = 0; i < m.w.size(); ++i) m.w[i] *= by[i % by.size()];
}

// Every run of `order` columns times R: (order, order).
void turn_columns(Matrix& m, const std::vector<float>& R, int64_t order) {
  parallel_for(ceil_div(m.n, kRows), [&](int64_t chunk) {
    int64_t first = chunk * kRows, rows = std::min(kRows, m.n - first);
    std::vector<float> w(m.w.begin() + first * m.k, m.w.begin() + (first + rows) * m.k);
    for (int64_t c = 0; c < m.k; c += order)
      cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, static_cast<int>(rows),
                  static_cast<int>(order), static_cast<int>(order), 1, w.data() + c,
                  static_cast<int>(m.k), R.data(), static_cast<int>(order), 0,
                  m.w.data() + first * m.k + c, static_cast<int>(m.k));
  });
}

// R' times every run of `order` rows.
void turn_rows(Matrix& m, const std::vector<float>& R, int64_t order) {
  std::vector<float> w = m.w;
  int64_t chunks = ceil_div(order, kRows);
  parallel_for(m.n / order * chunks, [&](int64_t piece) {
    int64_t start = piece / chunks * order, first = piece % chunks * kRows;
    int64_t rows = std::min(kRows, order - first);
    cblas_sgemm(CblasRowMajor, CblasTrans, CblasNoTrans, static_cast<int>(rows),
                static_cast<int>(m.k), static_cast<int>(order), 1, R.data() + first,
                static_cast<int>(order), w.data() + start * m.k, static_cast<int>(m.k), 0,
                m.w.data() + (start + first) * m.k, static_cast<int>(m.k));
  });
}

class Rotator {
 public:
  Rotator(const Weights& source, std::string folder, uint32_t seed)
      : source_(source),
        c_(source.config()),
        folder_(std::move(folder)),
        R1_(random_rotation(c_.hidden, seed)),
        R2_(random_rotation(c_.head_dim, seed ^ kValueSeed)) {}

  // The norm's weight, which becomes a norm of ones in the result.
  Result<std::vector<float>> take_norm(const NormSpec& spec) {
    Norm norm = NB_TRY(source_.norm(spec)), ones{std::vector<float>(norm.weight.size(), 1.f), {}};
    for (NamedTensor& t : NB_TRY(source_.norm_tensors(spec, ones)))
      tensors_.push_back(std::move(t));
    return std::move(norm.weight);
  }

  Status turn_block(int64_t layer) {
    std::vector<float> attention, mlp;
    for (const NormSpec& norm : block_norms(c_, layer)) {
      if (norm.place == NormPlace::kAttentionIn) attention = NB_TRY(take_norm(norm));
      if (norm.place == NormPlace::kMlpIn) mlp = NB_TRY(take_norm(norm));
    }
    for (const LinearSpec& spec : block_linears(c_, layer)) {
      Matrix m = NB_TRY(load(source_, spec.module + ".weight", spec.n, spec.k));
      Matrix bias{spec.n, 1, NB_TRY(source_.bias(spec))};
      bool writes = spec.role == Role::kO || spec.role == Role::kDown;
      if (!writes) {
        scale_columns(m, spec.stage == Stage::kQkv ? attention : mlp);
        turn_columns(m, R1_, c_.hidden);
      }
      if (spec.role == Role::kV) turn(m, bias, R2_, c_.head_dim);
      if (spec.role == Role::kO) turn_columns(m, R2_, c_.head_dim);
      if (writes) turn(m, bias, R1_, c_.hidden);
      add(spec.module + ".weight", DType::kF32, m);
      if (spec.bias)
        tensors_.push_back({spec.module + ".bias", own_floats(DType::kF32, {spec.n}, bias.w)});
    }
    return flush();
  }

  Status turn_ends(DType type) {
    Matrix head = NB_TRY(load(source_, head_source(c_) + ".weight", c_.vocab, c_.hidden));
    scale_columns(head, NB_TRY(take_norm(final_norm(c_))));
    turn_columns(head, R1_, c_.hidden);
    add(head_module(c_) + ".weight", type, head);
    std::string embedding = embedding_module(c_) + ".weight";
    head = NB_TRY(load(source_, embedding, c_.vocab, c_.hidden));
    turn_columns(head, R1_, c_.hidden);
    add(embedding, type, head);
    return flush();
  }

  // All that no rotation touches, then the index and the config.
  Status finish() {
    for (PendingTensor& t : NB_TRY(source_.float_tensors()))
      if (!written_.contains(t.name)) tensors_.push_back({t.name, NB_TRY(t.load())});
    if (!tensors_.empty()) NB_OK(flush());
    Json index = {{"metadata", {{"total_size", bytes_}}}, {"weight_map", std::move(files_)}};
    NB_OK(write_file(folder_ + "/model.safetensors.index.json", index.dump() + "\n"));
    Json config = source_.checkpoint().config();
    config["tie_word_embeddings"] = false;
    config.erase("quantization_config");
    return write_file(folder_ + "/config.json", config.dump(2) + "\n");
  }

 private:
  void turn(Matrix& m, Matrix& bias, const std::vector<float>& R, int64_t order) {
    turn_rows(m, R, order);
    if (!bias.w.empty()) turn_rows(bias, R, order);
  }
  void add(const std::string& name, DType type, const Matrix& m) {
    tensors_.push_back({name, own_floats(type, {m.n, m.k}, m.w)});
  }
  Status flush() {
    std::string file = fmt::format("model-{:05}.safetensors", ++count_);
    for (const NamedTensor& t : tensors_) {
      written_.insert(t.name);
      files_[t.name] = file;
      bytes_ += static_cast<int64_t>(t.view.bytes.size());
    }
    return write_safetensors(folder_ + "/" + file, std::exchange(tensors_, {}), {});
  }

  const Weights& source_;
  const DecoderConfig& c_;
  std::string folder_;
  std::vector<float> R1_, R2_;
  std::vector<NamedTensor> tensors_;  // of the file being made
  std::set<std::string> written_;
  Json files_ = Json::object();
  int64_t bytes_ = 0, count_ = 0;
};

Status transform(const Weights& source, const std::string& folder, const TransformOptions& options,
                 std::vector<std::string>& notes) {
  if (source.config().tied_head) {
    notes.emplace_back("rotate: the tied head became an lm_head of its own");
    note("{}", notes.back());
  }
  return rotate_model(source, folder, options.seed, std::nullopt);
}

}  // namespace

const char* rotation_obstacle(const DecoderConfig& c) {
  if (c.norm == NormKind::kLayer || !c.norm_weight) return "LayerNorm depends on the mean";
  for (size_t i = 0; i < kNormPlaces; ++i) {
    auto place = static_cast<NormPlace>(i);
    bool before = place == NormPlace::kAttentionIn || place == NormPlace::kMlpIn;
    if (before != c.has(place)) return "its norms do not stand before attention and MLP alone";
  }
  for (const LayerConfig& layer : c.blocks)
    if (layer.experts > 0) return "its experts are chosen by the stream";
  if (c.qkv != QkvOrder::kSeparate) return "its values share a matrix with queries and keys";
  return nullptr;
}

Status rotate_model(const Weights& source, const std::string& folder, uint32_t seed,
                    std::optional<DType> embedding_type) {
  const DecoderConfig& c = source.config();
  if (const char* why = rotation_obstacle(c))
    return fail("rotate does not apply to {}: {}", c.model_type, why);
  std::error_code ec;
  std::filesystem::create_directories(folder, ec);
  if (ec) return fail("{}: cannot be made: {}", folder, ec.message());
  Rotator rotator(source, folder, seed);
  Progress progress("rotating block", c.layers);
  for (int64_t layer = 0; layer < c.layers; ++layer) {
    NB_OK(rotator.turn_block(layer));
    progress.step(layer + 1);
  }
  DType stored = NB_TRY(source.stored_type(embedding_module(c)));
  NB_OK(rotator.turn_ends(embedding_type.value_or(stored)));
  return rotator.finish();
}

extern const Transform kTransform_rotate = {
    .name = "rotate",
    .summary =
        "the residual stream and value heads are rotated, which spreads outliers; untied head",
    .need = InputStatistics::Need::kNothing,
    .model = transform};

}  // namespace nibble
