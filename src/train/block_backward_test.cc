#include "train/block_backward.h"

#include <random>

#include "base/test_util.h"
#include "model/decoder.h"
#include "train/kl.h"

namespace nibble {
namespace {

// A block of a golden model on its own matrices, with a loss that is a fixed random sum of its
// output.
struct Probe {
  std::shared_ptr<Decoder> model;
  Block block;
  std::vector<LinearSpec> specs;
  std::vector<std::vector<float>> w, bias;  // by slot
  std::vector<float> router;
  std::vector<float> h, direction;
  std::vector<KvCache> caches;
  std::vector<Slice> slices;
  std::mt19937 random{7};

  explicit Probe(const std::string& family) {
    std::string folder = std::string(NIBBLE_SOURCE_DIR) + "/../shared/models/golden/" + family;
    model = std::make_shared<Decoder>(Decoder::load(folder, Activations::kFloat).value());
    block = load_block(model->weights(), 1, Activations::kFloat).value();
    specs = block_linears(config(), 1);
    w.resize(linear_slots(block.layer));
    bias.resize(w.size());
    for (const LinearSpec& s : specs) {
      w[linear_slot(s)] = model->weights().floats(s.module + ".weight", s.n, s.k).value();
      bias[linear_slot(s)] = model->weights().bias(s).value();
    }
    if (block.router) {
      MatrixSpec r = nibble::router(config(), 1);
      router = model->weights().floats(r.module + ".weight", r.n, r.k).value();
    }
    for (int64_t length : {9, 30}) caches.push_back(model->make_cache(length));
    slices = {{&caches[0], 0, 9}, {&caches[1], 0, 30}};
    std::normal_distribution<float> normal;
    for (auto* v : {&h, &direction}) {
      v->resize(static_cast<size_t>(39 * config().hidden));
      for (float& x : *v) x = normal(random);
    }
  }
  const DecoderConfig& config() const { return model->config(); }

  double loss(BlockTape* tape = nullptr) {
    for (const LinearSpec& s : specs) {
      auto bytes = std::as_bytes(std::span(w[linear_slot(s)]));
      block.slot(s) = make_float_linear({DType::kF32, {s.n, s.k}, bytes, nullptr, nullptr},
                                        bias[linear_slot(s)]);
    }
    Flow flow;
    flow.slices = slices;
    flow.rows = 39;
    flow.h = h;
    flow.tape = tape;
    enter_block(config(), block, flow);
    for (Stage stage : kStages) advance(stage, config(), block, *model->positions(), flow);
    double sum = 0;
    for (size_t i = 0; i < h.size(); ++i) sum += static_cast<double>(flow.h[i]) * direction[i];
    return sum;
  }
  // Compares a gradient with central differences at a few random places.
  void check(const char* what, std::vector<float>& x, const std::vector<float>& gradient) {
    ASSERT_EQ(x.size(), gradient.size()) << what;
    double scale = 0;
    for (float g : gradient) scale += static_cast<double>(g) * g;
    scale = std::sqrt(scale / static_cast<double>(gradient.size()));
    EXPECT_GT(scale, 0) << what;
    for (int i = 0; i < 6; ++i) {
      size_t at = random() % x.size();
      // A long step crosses zeros of ReLU, a short one drowns in float32's rounding.
      double nearest = INFINITY;
      for (float step : {4e-3f, 1e-3f}) {
        float kept = x[at];
        x[at] = kept + step;
        double up = loss();
        x[at] = kept - step;
        double down = loss();
        x[at] = kept;
        nearest = std::min(nearest, std::fabs(gradient[at] - (up - down) / (2. * step)));
        if (nearest < 2e-2 * scale + 2e-3) break;
      }
      EXPECT_LT(nearest, 2e-2 * scale + 2e-3) << what << at << " is " << gradient[at];
    }
  }
};

class BlockBackward : public testing::TestWithParam<const char*> {};

TEST_P(BlockBackward, MatchesFiniteDifferences) {
  Probe s(GetParam());
  BlockTape tape;
  s.loss(&tape);
  BlockGradient gradient(s.block.layer);
  BlockMatrices matrices;
  matrices.router = s.router;
  for (size_t i = 0; i < s.w.size(); ++i) {
    matrices.linears.push_back(s.w[i]);
    gradient.w[i].resize(s.w[i].size());
    gradient.bias[i].resize(s.bias[i].size());
  }
  for (size_t p = 0; p < kNormPlaces; ++p) {
    gradient.norms[p].resize(s.block.norms[p].weight.size());
    gradient.norm_biases[p].resize(s.block.norms[p].bias.size());
  }
  std::vector<float> dh = s.direction;
  BackwardScratch scratch;
  block_backward(s.config(), s.block, matrices, *s.model->positions(), s.slices, tape, dh, gradient,
                 scratch);

  s.check("input", s.h, dh);
  for (size_t i = 0; i < s.w.size(); ++i) {
    if (!s.w[i].empty()) s.check("weight", s.w[i], gradient.w[i]);
    if (!s.bias[i].empty()) s.check("bias", s.bias[i], gradient.bias[i]);
  }
  for (size_t p = 0; p < kNormPlaces; ++p) {
    if (s.block.norms[p]) s.check("norm", s.block.norms[p].weight, gradient.norms[p]);
    bool head = p >= static_cast<size_t>(NormPlace::kQuery);
    if (!head && !s.block.norms[p].bias.empty())
      s.check("norm's bias", s.block.norms[p].bias, gradient.norm_biases[p]);
  }
}

INSTANTIATE_TEST_SUITE_P(Families, BlockBackward,
                         testing::Values("bloom", "falcon-7b-style", "falcon-alibi", "falcon-new",
                                         "gemma", "gemma2", "gemma3", "gpt-neox",
                                         "gpt-neox-sequential", "gpt2", "gptj", "granite", "llama",
                                         "llama-bias", "llama3-rope", "mistral-window", "mixtral",
                                         "mpt", "olmo2", "opt", "opt-350m-style", "phi", "phi3",
                                         "phi3-longrope", "qwen2", "qwen2-yarn", "qwen3",
                                         "qwen3-moe", "smollm3", "stablelm", "starcoder2"));

TEST(KlBackward, MatchesFiniteDifferences) {
  std::mt19937 random(3);
  std::normal_distribution<float> normal;
  constexpr int64_t kRows = 5, kVocab = 37, kHidden = 8;
  std::vector<float> head(kVocab * kHidden), teacher(kRows * kHidden), student(kRows * kHidden);
  for (auto* v : {&head, &teacher, &student})
    for (float& x : *v) x = normal(random);
  std::vector<float> gradient(student.size()), unused(student.size());
  auto loss = [&](std::vector<float>& out) {
    return kl_backward({teacher.data(), head.data()}, {student.data(), head.data()}, kRows, kVocab,
                       kHidden, .5f, out.data());
  };
  EXPECT_GT(loss(gradient), 0);
  for (size_t i = 0; i < student.size(); i += 3) {
    float kept = student[i], step = 1e-2f;
    student[i] = kept + step;
    double up = loss(unused);
    student[i] = kept - step;
    double down = loss(unused);
    student[i] = kept;
    EXPECT_NEAR(gradient[i], .5 * (up - down) / (2. * step), 2e-3);
  }
  student = teacher;
  EXPECT_NEAR(loss(gradient), 0, 1e-6);
}

}  // namespace
}  // namespace nibble
