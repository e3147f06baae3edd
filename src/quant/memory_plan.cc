#include "quant/memory_plan.h"

#include <unistd.h>

#include <algorithm>
#include <cmath>

#include "base/log.h"
#include "base/threads.h"
#include "quant/window_flows.h"

namespace nibble {
namespace {

constexpr int64_t kMega = 1'000'000;
constexpr int64_t kProgram = 24 * kMega;    // code's own data, a tokenizer, what the heap keeps
constexpr int64_t kThread = 24 * kMega;     // BLAS packs panels into buffers of this size
constexpr int64_t kWrittenSideBySide = 64;  // windows_of_model
constexpr int64_t kTextFactor = 6;          // text, ids and what lies between them, a byte

using Need = InputStatistics::Need;

// The sizes of one model and one recipe that the parts below are made of.
class Estimate {
 public:
  Estimate(const DecoderConfig& c, const Plan& plan, const Preparation& preparation,
           const CalibrationDemand& demand)
      : c_(c), plan_(plan), preparation_(preparation), demand_(demand), threads_(thread_count()) {}

  // At the worst moment, less the windows.
  int64_t most() const {
    int64_t worst = std::max(outer(), calibration());
    for (int64_t layer = 0; layer < c_.layers; ++layer) worst = std::max(worst, block(layer));
    return kProgram + threads_ * kThread + kept() + worst;
  }

  // Windows that wait, behind quantized blocks and behind float ones.
  int64_t windows() const {
    if (demand_.kind != CalibrationDemand::Kind::kWindows) return 0;
    auto of = [&](bool restarts) {
      return WindowFlows::shelf_bytes(c_, demand_.options.windows, demand_.options.length,
                                      restarts);
    };
    return of(plan_.tunes_blocks()) + (compares() ? of(false) : 0);
  }

 private:
  bool drifts() const {
    return demand_.kind == CalibrationDemand::Kind::kWindows &&
           (plan_.need() == Need::kDrift ||
            (plan_.takes_drift() && !preparation_.changes_blocks()));
  }
  bool compares() const { return drifts() || plan_.tunes_blocks(); }

  // Held from the beginning to the end: the quantized embedding.
  int64_t kept() const {
    const auto& scheme = plan_.of(embedding_module(c_)).scheme;
    return scheme ? 2 * QuantizedMatrix::stored_bytes(*scheme, c_.vocab, c_.embedding_width) : 0;
  }

  // The embedding or the head on its way to codes, and whole-model transforms of either.
  int64_t outer() const {
    int64_t weights = c_.vocab * c_.embedding_width, most = 0;
    for (const std::string& module : {embedding_module(c_), head_module(c_)})
      if (const auto& scheme = plan_.of(module).scheme)
        most = std::max(most, 6 * weights + 2 * QuantizedMatrix::stored_bytes(*scheme, c_.vocab,
                                                                              c_.embedding_width));
    return preparation_.changes_model() ? std::max(most, 12 * weights) : most;
  }

  // Making the windows.
  int64_t calibration() const {
    const CalibrationOptions& o = demand_.options;
    if (demand_.kind != CalibrationDemand::Kind::kWindows) return 0;
    if (!o.text.empty()) return kTextFactor * demand_.text_bytes;
    int64_t side_by_side = std::min(o.windows, kWrittenSideBySide);
    int64_t row = 4 * (c_.vocab + 4 * c_.hidden + 3 * c_.mlp);
    return side_by_side * (KvCache::bytes(c_.layers, c_.kv_heads, c_.head_dim, o.length) + row);
  }

  int64_t block(int64_t layer) const {
    std::vector<LinearSpec> specs = block_linears(c_, layer);
    int64_t codes = 0, weights = 0, worst = flow();
    for (const LinearSpec& s : specs) {
      weights += s.n * s.k;
      if (const auto& scheme = plan_.of(s.module).scheme)
        codes += 2 * QuantizedMatrix::stored_bytes(*scheme, s.n, s.k);
    }
    int64_t floats = preparation_.changes_blocks() ? 3 * 4 * weights : 0;
    if (preparation_.changes_blocks()) worst = std::max(worst, flow() + transform_statistics());
    std::erase_if(specs, [&](const LinearSpec& s) { return !plan_.of(s.module).scheme; });
    for (Stage stage : kStages)
      for (const std::vector<LinearSpec>& group : input_groups(specs, stage))
        worst = std::max(worst, quantizing(group));
    if (plan_.tunes_blocks()) worst = std::max(worst, learning(weights));
    return floats + codes + worst;
  }

  // A block whose codes learn: values, gradients, latent codes and Adam's two moments of each
  // weight, and what one flow's passes forward and backward leave.
  int64_t learning(int64_t weights) const {
    int64_t row = 10 * c_.hidden + 6 * c_.mlp + 6 * c_.q_dim() + 6 * c_.kv_dim();
    return 5 * 4 * weights + WindowFlows::flow_rows(length()) * row * 4;
  }

  int64_t length() const { return std::max<int64_t>(1, demand_.options.length); }
  // One flow on its way, with the difference that drift is made of.
  int64_t flow() const {
    if (demand_.kind != CalibrationDemand::Kind::kWindows) return 0;
    return WindowFlows::flow_bytes(c_, length()) * (preparation_.changes_blocks() ? 2 : 1);
  }

  int64_t transform_statistics() const {
    int64_t total = 0;
    for (int64_t k : {c_.hidden, c_.q_dim(), c_.hidden, c_.mlp})
      total += preparation_.need() >= Need::kHessian ? 12 * k * k : 24 * k;
    return total;
  }

  int64_t quantizing(const std::vector<LinearSpec>& stage) const {
    int64_t k = stage[0].k, square = k * k;
    Need need = std::max(plan_.need(stage), preparation_.stage_need());
    bool hessian = need >= Need::kHessian;
    int64_t statistics = 24 * k, reading = 0;
    if (hessian) statistics += (drifts() ? 16 : 8) * square;
    if (demand_.kind == CalibrationDemand::Kind::kStatistics && hessian) reading = 14 * square;
    int64_t adding = drifts() ? 4 * k * WindowFlows::flow_rows(length()) : 0, worst = adding;
    for (const Method* method : methods_of(stage))
      worst = std::max(worst, rounding(*method, stage, hessian));
    // Rows that each thread is at, with their errors and their groups' equations.
    int64_t scratch = threads_ * (1200 * k + 256 * k);
    return std::max(reading, statistics + worst + scratch);
  }

  std::vector<const Method*> methods_of(const std::vector<LinearSpec>& stage) const {
    std::vector<const Method*> out;
    for (const LinearSpec& s : stage)
      if (const Method* m = plan_.of(s.module).method; std::ranges::find(out, m) == out.end())
        out.push_back(m);
    return out;
  }

  int64_t rounding(const Method& method, const std::vector<LinearSpec>& stage, bool hessian) const {
    int64_t square = stage[0].k * stage[0].k, weights = 0, grids = 0;
    for (const LinearSpec& s : stage) {
      const ModuleChoice& choice = plan_.of(s.module);
      if (choice.method != &method) continue;
      weights += s.n * s.k;
      const Scheme& scheme = *choice.scheme;
      int64_t count = scheme.group == Scheme::kTensor ? 1 : s.n * scheme.groups(s.k);
      grids += static_cast<int64_t>(sizeof(Grid)) * count;
    }
    int64_t codes = weights + grids;
    int64_t own = method.memory.per_square * square + method.memory.per_weight * weights + grids;
    if (method.sparse) own = std::max(own, 12 * square + grids) + codes;
    int64_t error = hessian ? 4 * square : 0;
    return 4 * weights + codes + std::max(own, error);
  }

  const DecoderConfig& c_;
  const Plan& plan_;
  const Preparation& preparation_;
  const CalibrationDemand& demand_;
  int64_t threads_;
};

double mega(int64_t bytes) { return static_cast<double>(bytes) / kMega; }

}  // namespace

Result<MemoryPlan> plan_memory(const DecoderConfig& config, const Plan& plan,
                               const Preparation& preparation, const CalibrationDemand& demand,
                               int64_t bound) {
  Estimate estimate(config, plan, preparation, demand);
  MemoryPlan out;
  out.least = out.bytes = estimate.most();
  out.limit = bound > 0 ? bound : ::sysconf(_SC_PHYS_PAGES) * ::sysconf(_SC_PAGESIZE) / 2;
  int64_t windows = estimate.windows();
  out.windows_on_disk = out.least + windows > out.limit;
  if (out.windows_on_disk)
    out.disk = windows;
  else
    out.bytes += windows;
  if (out.bytes <= out.limit) return out;
  if (bound > 0)
    return fail("--max-memory {:.0f}MB cannot be kept: this job holds up to {:.0f}MB", mega(bound),
                std::ceil(mega(out.least)));
  warn("this job holds up to {:.1f} GB of memory, more than half of what this machine has",
       mega(out.least) / 1000);
  return out;
}

}  // namespace nibble
