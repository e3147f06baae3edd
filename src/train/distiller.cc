#include "train/distiller.h"

#include <algorithm>
#include <numeric>

#include "model/blas.h"
#include "train/kl.h"
#include "train/ops.h"

namespace nibble {
namespace {

// Tokens that pass forward and back together: what all blocks compute for them is kept meanwhile.
constexpr int64_t kPassTokens = 1024;

}  // namespace

Result<Distiller> Distiller::create(std::shared_ptr<const Decoder> teacher,
                                    const Embedding& embedding,
                                    const std::vector<BlockCodes>& blocks) {
  Distiller d;
  d.embedding_ = embedding;
  const Weights& weights = teacher->weights();
  for (size_t layer = 0; layer < blocks.size(); ++layer)
    d.blocks_.push_back(
        NB_TRY(LearnedBlock::create(weights, static_cast<int64_t>(layer), blocks[layer])));
  const DecoderConfig& c = weights.config();
  NormSpec norm = nibble::final_norm(c);
  d.final_norm_ = teacher->final_norm();
  if (d.final_norm_ && norm.weight) {
    d.learned_norm_ = NB_TRY(LearnedNorm::create(weights, norm, d.final_norm_));
    d.final_gradient_.resize(d.final_norm_.weight.size());
    d.final_bias_gradient_.resize(d.final_norm_.bias.size());
  }
  d.head_ = NB_TRY(weights.floats(head_source(c) + ".weight", c.vocab, c.embedding_width));
  if (c.embedding_width != c.hidden)
    d.project_out_ =
        NB_TRY(weights.floats(project_out(c).module + ".weight", c.embedding_width, c.hidden));
  d.head_bias_ = NB_TRY(weights.bias(head_linear(c)));
  if (embedding.quantized() && c.tied_head) {
    std::vector<int32_t> all(static_cast<size_t>(c.vocab));
    std::iota(all.begin(), all.end(), 0);
    embedding.rows(all, d.own_head_);
  }
  for (auto* matrix : {&d.head_, &d.own_head_, &d.head_bias_})
    for (float& v : *matrix) v *= static_cast<float>(c.logit_scale);
  d.positions_ = teacher->positions();
  d.teacher_ = std::move(teacher);
  return d;
}

std::vector<NamedTensor> Distiller::final_norm() const {
  std::vector<NamedTensor> out;
  if (learned_norm_) learned_norm_->append_to(out);
  return out;
}

// What the head reads of states behind the final norm, (rows, hidden).
void Distiller::narrow(std::vector<float>& states) const {
  if (project_out_.empty()) return;
  const DecoderConfig& c = teacher_->config();
  auto rows = static_cast<int64_t>(states.size()) / c.hidden;
  std::vector<float> out(static_cast<size_t>(rows * c.embedding_width));
  cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, static_cast<int>(rows),
              static_cast<int>(c.embedding_width), static_cast<int>(c.hidden), 1, states.data(),
              static_cast<int>(c.hidden), project_out_.data(), static_cast<int>(c.hidden), 0,
              out.data(), static_cast<int>(c.embedding_width));
  states = std::move(out);
}

// Its gradient's way back.
void Distiller::widen(std::vector<float>& gradient) const {
  if (project_out_.empty()) return;
  const DecoderConfig& c = teacher_->config();
  auto rows = static_cast<int64_t>(gradient.size()) / c.embedding_width;
  std::vector<float> out(static_cast<size_t>(rows * c.hidden));
  cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, static_cast<int>(rows),
              static_cast<int>(c.hidden), static_cast<int>(c.embedding_width), 1, gradient.data(),
              static_cast<int>(c.embedding_width), project_out_.data(), static_cast<int>(c.hidden),
              0, out.data(), static_cast<int>(c.hidden));
  gradient = std::move(out);
}

double Distiller::pass(std::span<const Ids* const> windows, double weight, bool backward) {
  const DecoderConfig& c = teacher_->config();
  std::vector<std::span<const int32_t>> ids(windows.size());
  std::ranges::transform(windows, ids.begin(), [](const Ids* w) { return std::span(*w); });
  WindowBatch batch(*teacher_, ids);
  auto rows = static_cast<int64_t>(batch.ids.size());
  {
    Flow taught;
    teacher_->final_states(batch.ids, batch.slices, Decoder::Rows::kAll, taught);
    answers_ = std::move(taught.h);
  }

  tapes_.resize(blocks_.size());
  flow_.slices = batch.slices;
  flow_.rows = rows;
  embedding_.embed(batch.ids, batch.slices, flow_.h);
  for (size_t b = 0; b < blocks_.size(); ++b) {
    flow_.tape = backward ? &tapes_[b] : nullptr;
    enter_block(c, blocks_[b].block(), flow_);
    for (Stage stage : kStages) advance(stage, c, blocks_[b].block(), *positions_, flow_);
  }
  hidden_ = flow_.h;
  if (final_norm_) norm_rows(c, final_norm_, flow_.h.data(), rows, hidden_.data());
  for (auto* states : {&answers_, &hidden_}) narrow(*states);
  dhidden_.resize(hidden_.size());
  const std::vector<float>& own_head = own_head_.empty() ? head_ : own_head_;
  const float* bias = head_bias_.empty() ? nullptr : head_bias_.data();
  auto softcap = static_cast<float>(c.logit_softcap);
  double total = kl_backward({answers_.data(), head_.data(), bias, softcap},
                             {hidden_.data(), own_head.data(), bias, softcap}, rows, c.vocab,
                             c.embedding_width, static_cast<float>(weight), dhidden_.data());
  if (!backward) return total;

  widen(dhidden_);
  dh_.assign(dhidden_.size(), 0.f);
  if (!final_norm_)
    dh_ = dhidden_;
  else
    norm_backward(c, flow_.h.data(), final_norm_.weight, dhidden_.data(), rows, dh_.data(),
                  final_gradient_.empty() ? nullptr : final_gradient_.data(),
                  final_bias_gradient_.empty() ? nullptr : final_bias_gradient_.data());
  for (size_t b = blocks_.size(); b-- > 0;)
    blocks_[b].backward(c, *positions_, batch.slices, tapes_[b], dh_, scratch_);
  return total;
}

double Distiller::divergence(std::span<const Ids* const> windows) {
  double total = 0, tokens = 0;
  for (const Ids* const& w : windows) {
    total += pass({&w, 1}, 0, false);
    tokens += static_cast<double>(w->size());
  }
  return total / tokens;
}

double Distiller::learn(std::span<const Ids* const> windows, const LearningRates& rates,
                        int64_t number) {
  double total = 0, tokens = 0;
  for (const Ids* w : windows) tokens += static_cast<double>(w->size());
  for (size_t at = 0; at < windows.size();) {
    size_t end = at;
    for (int64_t sum = 0; end < windows.size(); ++end) {
      sum += static_cast<int64_t>(windows[end]->size());
      if (sum > kPassTokens && end > at) break;
    }
    total += pass(windows.subspan(at, end - at), 1 / tokens, true);
    at = end;
  }
  for (LearnedBlock& b : blocks_) b.learn(rates, number);
  if (rates.vectors > 0 && learned_norm_)
    learned_norm_->learn(final_gradient_, final_bias_gradient_, rates.vectors, number, final_norm_);
  std::fill(final_gradient_.begin(), final_gradient_.end(), 0.f);
  std::fill(final_bias_gradient_.begin(), final_bias_gradient_.end(), 0.f);
  return total / tokens;
}

int64_t Distiller::memory(const DecoderConfig& c) {
  int64_t weights = 0, q = c.q_dim(), kv = 2 * c.kv_dim();
  for (const LinearSpec& s : block_linears(c, 0)) weights += s.n * s.k;
  int64_t tape = 3 * c.hidden + 2 * q + kv + 3 * c.mlp + c.hidden;
  // Values, gradients, latent codes and two moments of each weight; tapes; the head.
  return c.layers * (weights * 5 * 4 + kPassTokens * tape * 4) + c.vocab * c.hidden * 4;
}

}  // namespace nibble
