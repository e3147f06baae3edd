#include "model/lora.h"

#include "base/test_util.h"
#include "formats/safetensors.h"
#include "model/weights.h"

namespace nibble {
namespace {

constexpr const char* kModel = NIBBLE_SOURCE_DIR "/models/tales-3.7m";
constexpr const char* kQ = "model.layers.1.self_attn.q_proj";

class Lora : public testing::Test {
 protected:
  void SetUp() override { save({{"r", 2}, {"lora_alpha", 6}}, tensors(kQ)); }

  static NamedTensor tensor(const std::string& name, std::vector<int64_t> shape, float step) {
    std::vector<float> values(static_cast<size_t>(shape[0] * shape[1]));
    for (size_t i = 0; i < values.size(); ++i)
      values[i] = step * static_cast<float>(static_cast<int>(i % 7) - 3);
    return {"base_model.model." + name, own_floats(DType::kF32, std::move(shape), values)};
  }
  static std::vector<NamedTensor> tensors(const std::string& module, int64_t n = 256,
                                          int64_t k = 256, int64_t r = 2) {
    return {tensor(module + ".lora_A.weight", {r, k}, .25f),
            tensor(module + ".lora_B.weight", {n, r}, .5f)};
  }
  void save(Json config, const std::vector<NamedTensor>& tensors) {
    if (!config.contains("peft_type")) config["peft_type"] = "LORA";
    ASSERT_TRUE(succeeds(write_file(dir_ / "adapter_config.json", config.dump())));
    ASSERT_TRUE(succeeds(write_safetensors(dir_ / "adapter_model.safetensors", tensors, {})));
  }
  void fails(const Json& config, const std::vector<NamedTensor>& tensors, const char* problem) {
    save(config, tensors);
    EXPECT_TRUE(fails_with(Weights::open(kModel, dir_.path()), problem));
  }
  // What the adapter adds to an element of q_proj, over its scale.
  static float product(int64_t row, int64_t column) {
    auto at = [](int64_t i, float step) { return step * static_cast<float>(i % 7 - 3); };
    return at(row * 2, .5f) * at(column, .25f) + at(row * 2 + 1, .5f) * at(256 + column, .25f);
  }
  float scale_of(const Json& config, const std::string& module = kQ) {
    save(config, tensors(module));
    auto merged = Weights::open(kModel, dir_.path());
    EXPECT_TRUE(succeeds(merged));
    if (!merged) return 0;
    std::string name = std::string(kQ) + ".weight";
    float before = Weights::open(kModel)->floats(name, 256, 256).value()[256 * 3 + 6];
    return (merged->floats(name, 256, 256).value()[256 * 3 + 6] - before) / product(3, 6);
  }
  TempFolder dir_;
};

TEST_F(Lora, IsMergedForAllThatReadsWeights) {
  Weights base = Weights::open(kModel).value();
  auto merged = Weights::open(kModel, dir_.path());
  ASSERT_TRUE(succeeds(merged));
  std::string name = std::string(kQ) + ".weight";
  std::vector<float> before = base.floats(name, 256, 256).value(),
                     after = merged->floats(name, 256, 256).value();
  for (int64_t i = 0; i < 256; ++i)
    for (int64_t j = 0; j < 256; ++j) {
      auto at = static_cast<size_t>(i * 256 + j);
      ASSERT_NEAR(after[at], before[at] + 3 * product(i, j), 1e-6) << i << ' ' << j;
    }
  EXPECT_EQ(merged->stored_type(kQ).value(), DType::kF32);
  EXPECT_NE(merged->digest().value(), base.digest().value());
  std::string other = "model.layers.0.self_attn.q_proj.weight";
  EXPECT_EQ(base.floats(other, 256, 256).value(), merged->floats(other, 256, 256).value());
  bool seen = false;
  for (const PendingTensor& t : merged->float_tensors().value()) {
    if (t.name != name) continue;
    seen = true;
    TensorView view = t.load().value();
    EXPECT_EQ(std::memcmp(view.bytes.data(), after.data(), view.bytes.size()), 0);
  }
  EXPECT_TRUE(seen);
}

TEST_F(Lora, ScalesAsPeftDoes) {
  EXPECT_NEAR(scale_of({{"r", 2}, {"lora_alpha", 6}}), 3, 1e-5);
  EXPECT_NEAR(scale_of({{"r", 2}, {"lora_alpha", 6}, {"use_rslora", true}}), 6 / std::sqrt(2.),
              1e-5);
  EXPECT_NEAR(scale_of({{"r", 8}, {"lora_alpha", 6}, {"rank_pattern", {{"q_proj", 2}}}}), 3, 1e-5);
  EXPECT_NEAR(
      scale_of({{"r", 2}, {"lora_alpha", 6}, {"alpha_pattern", {{"1.self_attn.q_proj", 10}}}}), 5,
      1e-5);
  // A pattern matches from a dot on: "_proj" is no name.
  EXPECT_NEAR(scale_of({{"r", 2}, {"lora_alpha", 6}, {"alpha_pattern", {{"_proj", 10}}}}), 3, 1e-5);
}

TEST_F(Lora, FindsModulesUnderAnotherPrefix) {
  EXPECT_NEAR(scale_of({{"r", 2}, {"lora_alpha", 6}}, "layers.1.self_attn.q_proj"), 3, 1e-5);
}

TEST_F(Lora, RefusesByNameWhatCannotBeMerged) {
  Json good = {{"r", 2}, {"lora_alpha", 6}};
  for (auto [key, value, problem] :
       std::initializer_list<std::tuple<const char*, Json, const char*>>{
           {"peft_type", "LOHA", "\"LOHA\" is not read"},
           {"use_dora", true, "DoRA"},
           {"bias", "all", "trained biases"},
           {"modules_to_save", Json::array({"lm_head"}), "modules_to_save"},
           {"target_parameters", Json::array({"x"}), "target_parameters"},
           {"layer_replication", Json::array({1}), "layer_replication"},
           {"init_lora_weights", "pissa_niter_4", "pissa_niter_4"},
           {"r", "two", "\"r\""},
           {"r", 0, "rank 0"},
           {"r", 1e300, "rank 1e+300"},
           {"rank_pattern", 7, "rank_pattern"},
           {"alpha_pattern", {{"(", 1}}, "not a regular expression"},
           {"alpha_pattern", {{"q_proj", "x"}}, "is no number"}}) {
    Json config = good;
    config[key] = value;
    fails(config, tensors(kQ), problem);
  }
}

TEST_F(Lora, RefusesTensorsThatDoNotFit) {
  Json good = {{"r", 2}, {"lora_alpha", 6}};
  fails(good, tensors("model.layers.9.self_attn.q_proj"), "no linear of this model");
  fails(good, tensors("model.embed_tokens"), "no linear of this model");
  fails(good, tensors("lm_head", 2048), "its head is the embedding");
  fails(good, tensors(kQ, 255), "should have [2, 256] and [256, 2]");
  fails(good, tensors(kQ, 256, 256, 3), "should have [2, 256] and [256, 2]");
  fails(good, {tensors(kQ)[0]}, "lora_B missing");
  fails(good, {}, "changes nothing");
  auto more = tensors(kQ);
  more.push_back(tensor(std::string(kQ) + ".lora_magnitude_vector", {1, 1}, 1));
  fails(good, more, "none of LoRA's");
  more.back() = tensors(kQ)[0];
  more.back().name = "model.x.lora_A.weight";
  fails(good, more, "none of LoRA's");
  std::filesystem::remove(dir_ / "adapter_model.safetensors");
  EXPECT_TRUE(fails_with(Weights::open(kModel, dir_.path()), "no adapter_model.safetensors"));
  EXPECT_TRUE(fails_with(Weights::open(kModel, kModel), "no PEFT adapter"));
}

}  // namespace
}  // namespace nibble
