// What every transform promises: the function of the float model stays, its statistics are right.
#include <gtest/gtest.h>

#include <cmath>

#include "base/test_util.h"
#include "model/decoder.h"
#include "quant/block_pass.h"
#include "quant/grid_search.h"
#include "quant/python_random.h"
#include "quant/transforms/float_block.h"
#include "quant/transforms/fold.h"
#include "quant/transforms/rotate.h"

namespace nibble {
namespace {

const std::string kShared = NIBBLE_SOURCE_DIR "/../shared/models/";
const std::string kTales = NIBBLE_SOURCE_DIR "/models/tales-3.7m";

std::vector<float> logits_of(const std::string& folder) {
  auto decoder = Decoder::load(folder, Activations::kFloat);
  EXPECT_TRUE(succeeds(decoder));
  PythonRandom random(3);
  std::vector<int32_t> ids;
  for (int i = 0; i < 24; ++i)
    ids.push_back(
        static_cast<int32_t>(random.below(static_cast<uint32_t>(decoder->config().vocab))));
  KvCache cache = decoder->make_cache(24);
  std::vector<Slice> slices = {{&cache, 0, 24}};
  std::vector<float> logits;
  decoder->forward(ids, slices, Decoder::Rows::kAll, logits);
  return logits;
}

// The largest difference, in standard deviations of a.
double distance(const std::vector<float>& a, const std::vector<float>& b) {
  double mean = 0, spread = 0, most = 0;
  for (float v : a) mean += v / static_cast<double>(a.size());
  for (size_t i = 0; i < a.size(); ++i) {
    spread += (a[i] - mean) * (a[i] - mean) / static_cast<double>(a.size());
    double d = std::fabs(static_cast<double>(a[i]) - b[i]);
    most = d <= most ? most : d;  // NaN sticks
  }
  return most / std::sqrt(spread);
}

TEST(Rotate, KeepsTheFunction) {
  for (std::string model :
       {kTales, kShared + "golden/llama", kShared + "golden/llama-bias", kShared + "golden/qwen2",
        kShared + "golden/qwen3", kShared + "golden/mistral-window", kShared + "stories260K"}) {
    if (!is_folder(model)) continue;
    TempFolder folder;
    auto source = Weights::open(model);
    ASSERT_TRUE(succeeds(source));
    ASSERT_TRUE(succeeds(rotate_model(*source, folder / "out", 1, DType::kF32)));
    auto rotated = Weights::open(folder / "out");
    ASSERT_TRUE(succeeds(rotated));
    EXPECT_FALSE(rotated->config().tied_head);
    std::string name = block_linears(source->config(), 0)[0].module + ".weight";
    auto before = source->checkpoint().get(name), after = rotated->checkpoint().get(name);
    EXPECT_EQ(before->shape, after->shape);
    EXPECT_LT(distance(logits_of(model), logits_of(folder / "out")), 1e-4) << model;
  }
}

// One block of a real model, and flows of random tokens that stand before it.
struct Bench {
  Weights weights;
  Block block;
  FloatBlock floats;
  Flow flow;
  std::vector<KvCache> caches;
  std::shared_ptr<const Positions> positions;

  explicit Bench(const std::string& folder) : weights(Weights::open(folder).value()) {
    const DecoderConfig& c = weights.config();
    block = load_block(weights, 0, Activations::kFloat).value();
    Recipe recipe = Recipe::build({{"rest", "w4g32", ""}}).value();
    floats = load_float_block(weights, 0, recipe.resolve(weights.config()).value()).value();
    caches.emplace_back(c.layers, c.kv_heads, c.head_dim, 48);
    positions = std::make_shared<Positions>(c, 48);
    PythonRandom random(5);
    std::vector<int32_t> ids;
    for (int i = 0; i < 48; ++i)
      ids.push_back(static_cast<int32_t>(random.below(static_cast<uint32_t>(c.vocab))));
    flow.rows = 48;
    flow.slices.push_back({&caches[0], 0, 48});
    weights.embedding().value().embed(ids, flow.slices, flow.h);
    gather(floats);
  }

  void gather(FloatBlock& out) {
    const DecoderConfig& c = weights.config();
    out.inputs.clear();
    for (int64_t k : {c.hidden, c.q_dim(), c.hidden, c.mlp})
      out.inputs.emplace_back(k, InputStatistics::Need::kHessian);
    enter_block(c, block, flow);
    gather_inputs(c, block, *positions, flow, out);
    for (InputStatistics& s : out.inputs) EXPECT_TRUE(s.finish("x"));
  }

  std::vector<float> output() {
    const DecoderConfig& c = weights.config();
    enter_block(c, block, flow);
    Flow f = flow;
    for (Stage stage : kStages) advance(stage, c, block, *positions, f);
    return f.h;
  }
};

TEST(BlockTransforms, KeepTheFunctionAndTheStatistics) {
  for (const Transform& t : known_transforms()) {
    if (!t.block) continue;
    for (std::string model :
         {kTales, kShared + "golden/llama-bias", kShared + "golden/qwen3", kShared + "stories260K"})
      for (double alpha : {.8, 0.}) {
        if (!is_folder(model)) continue;
        Bench bench(model);
        std::vector<float> before = bench.output();
        auto untouched = bench.floats.matrices;
        ASSERT_TRUE(succeeds(t.block(bench.weights.config(), bench.floats, {alpha, 0})));
        EXPECT_NE(bench.floats.matrix(Role::kGate).w, untouched[bench.floats.index(Role::kGate)].w);
        FloatBlock told = bench.floats;
        install(bench.floats, bench.block);
        EXPECT_LT(distance(before, bench.output()), 1e-5) << t.name << " " << model;
        bench.gather(bench.floats);
        for (Stage s : kStages)
          for (int64_t j = 0; j < told.input(s).cols(); ++j) {
            double is = bench.floats.input(s).diagonal(j);
            EXPECT_NEAR(told.input(s).diagonal(j), is, 1e-3 * is + 1e-9) << t.name;
            is = bench.floats.input(s).absmax(j);
            EXPECT_NEAR(told.input(s).absmax(j), is, 1e-3 * is + 1e-6) << t.name;
          }
      }
  }
}

// The sum over the linears of one stage.
double rounding_error(FloatBlock& b) {
  double total = 0;
  for (size_t i = 0; i < b.specs.size(); ++i) {
    const FloatMatrix& m = b.matrices[i];
    total += relative_error(m, round_to_nearest(m, minmax_grids(m)), &b.input(b.specs[i].stage));
  }
  return total;
}

TEST(Awq, LowersTheRoundingError) {
  Bench bench(kTales);
  double before = rounding_error(bench.floats);
  auto awq = *find_transforms({"awq"});
  ASSERT_TRUE(awq[0]->block(bench.weights.config(), bench.floats, {}));
  EXPECT_LT(rounding_error(bench.floats), .98 * before);
}

TEST(SmoothQuant, FlattensTheInputs) {
  Bench bench(kTales);
  auto peak = [&] {  // the largest input over the mean of the channels' largest
    const InputStatistics& s = bench.floats.input(Stage::kQkv);
    double top = 0, sum = 0;
    for (int64_t j = 0; j < s.cols(); ++j) {
      top = std::max(top, s.absmax(j));
      sum += s.absmax(j);
    }
    return top * static_cast<double>(s.cols()) / sum;
  };
  double before = peak();
  auto smooth = *find_transforms({"smoothquant"});
  ASSERT_TRUE(smooth[0]->block(bench.weights.config(), bench.floats, {}));
  EXPECT_LT(peak(), .8 * before);
}

TEST(BiasCorrection, MeanOutputIsKept) {
  constexpr int64_t kN = 16, kK = 64, kTokens = 200;
  PythonRandom random(7);
  FloatMatrix m{"m", kN, kK, std::vector<float>(kN * kK), *Scheme::parse("w3")};
  for (float& w : m.w) w = static_cast<float>(random.uniform() - .5);
  std::vector<float> x(kTokens * kK), bias(kN, .25f);
  for (float& v : x) v = static_cast<float>(random.uniform() + .5);
  InputStatistics s(kK, InputStatistics::Need::kDiagonal);
  s.add(x.data(), kTokens);
  QuantizedMatrix q = round_to_nearest(m, minmax_grids(m));
  (*find_transforms({"bias-correction"}))[0]->bias(m, q, s, bias);
  std::vector<float> row(kK);
  for (int64_t i = 0; i < kN; ++i) {
    q.dequantize(i, row.data());
    double exact = .25, rounded = bias[static_cast<size_t>(i)];
    for (int64_t t = 0; t < kTokens; ++t)
      for (int64_t j = 0; j < kK; ++j) {
        double v = x[static_cast<size_t>(t * kK + j)] / static_cast<double>(kTokens);
        exact += m.w[static_cast<size_t>(i * kK + j)] * v;
        rounded += row[static_cast<size_t>(j)] * v;
      }
    EXPECT_NEAR(exact, rounded, 1e-4);
  }
}

TEST(Transforms, NamesAreChecked) {
  EXPECT_TRUE(fails_with(find_transforms({"magic"}), "smoothquant"));
  EXPECT_TRUE(fails_with(find_transforms({"awq", "awq"}), "twice"));
  EXPECT_TRUE(fails_with(find_transforms({"awq", "rotate"}), "before awq"));
  EXPECT_EQ(find_transforms({"rotate", "awq"})->size(), 2u);
}

}  // namespace
}  // namespace nibble
