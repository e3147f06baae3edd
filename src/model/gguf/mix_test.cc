// Types by llama.cpp's rules, worked out by hand; ./interop llama.cpp asks llama-quantize itself.
#include "model/gguf/mix.h"

#include <gtest/gtest.h>

#include <string>

namespace nibble {
namespace {

DecoderConfig llama(int64_t layers, int64_t heads, int64_t kv_heads, int64_t experts = 0) {
  DecoderConfig c;
  c.model_type = "llama";
  c.layers = layers;
  c.heads = heads;
  c.kv_heads = kv_heads;
  c.blocks.resize(static_cast<size_t>(layers));
  for (LayerConfig& b : c.blocks) b.experts = experts;
  return c;
}

std::string types(const char* mix, const DecoderConfig& c, Role role, bool calibrated = true) {
  std::string out;
  for (int64_t layer = 0; layer < c.layers; ++layer)
    out +=
        std::string(gguf_linear_type(*find_gguf_mix(mix), c, layer, role, calibrated).name) + ' ';
  return out;
}

TEST(GgufMix, FirstLastAndEveryThirdLayerCount) {
  DecoderConfig c = llama(8, 8, 8);
  EXPECT_EQ(types("q4_k_m", c, Role::kDown), "Q6_K Q4_K Q4_K Q6_K Q4_K Q4_K Q6_K Q6_K ");
  EXPECT_EQ(types("q4_k_m", c, Role::kGate), "Q4_K Q4_K Q4_K Q4_K Q4_K Q4_K Q4_K Q4_K ");
  EXPECT_EQ(types("q4_k_s", c, Role::kV), "Q5_K Q5_K Q5_K Q5_K Q4_K Q4_K Q4_K Q4_K ");
  EXPECT_EQ(types("q3_k_m", c, Role::kV), "Q5_K Q5_K Q4_K Q4_K Q4_K Q4_K Q4_K Q4_K ");
}

TEST(GgufMix, SharedKeysAndExpertsRaiseValues) {
  EXPECT_EQ(types("q2_k", llama(2, 8, 2), Role::kV), "Q4_K Q4_K ");
  EXPECT_EQ(types("q2_k", llama(2, 8, 4), Role::kV), "Q3_K Q3_K ");
  EXPECT_EQ(types("iq4_xs", llama(2, 8, 2), Role::kV), "Q5_K Q5_K ");
  EXPECT_EQ(types("q4_k_m", llama(2, 8, 2, 8), Role::kK), "Q8_0 Q8_0 ");
  EXPECT_EQ(types("q4_k_m", llama(2, 8, 2, 8), Role::kO), "Q5_K Q5_K ");
}

TEST(GgufMix, CalibrationDecidesTheFirstEighth) {
  DecoderConfig c = llama(8, 8, 8);
  EXPECT_EQ(types("q4_0", c, Role::kDown), "Q4_1 Q4_0 Q4_0 Q4_0 Q4_0 Q4_0 Q4_0 Q4_0 ");
  EXPECT_EQ(types("iq4_nl", c, Role::kDown, false).substr(0, 12), "Q5_K IQ4_NL ");
}

TEST(GgufMix, RowsThatAreNoWholeBlocks) {
  const GgmlType& k4 = *find_ggml_type(std::string_view("Q4_K"));
  EXPECT_EQ(gguf_type_for_row(k4, 512).name, "Q4_K");
  EXPECT_EQ(gguf_type_for_row(k4, 96).name, "Q5_0");
  EXPECT_EQ(gguf_type_for_row(k4, 40).name, "F16");
  EXPECT_EQ(gguf_head_type(*find_gguf_mix("q4_k_m"), llama(2, 8, 2), 96).name, "Q8_0");
}

}  // namespace
}  // namespace nibble
