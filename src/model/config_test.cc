#include "model/config.h"

#include <gtest/gtest.h>

namespace nibble {
namespace {

Json small() {
  return {{"model_type", "llama"},    {"hidden_size", 64},       {"num_hidden_layers", 2},
          {"num_attention_heads", 4}, {"intermediate_size", 96}, {"vocab_size", 100}};
}

TEST(Config, BothSpellingsOfRope) {
  Json v4 = small(), v5 = small();
  v4["rope_theta"] = 5e5;
  v4["rope_scaling"] = {{"type", "linear"}, {"factor", 4.0}};
  v5["rope_parameters"] = {{"rope_theta", 5e5}, {"rope_type", "linear"}, {"factor", 4.0}};
  for (const Json& j : {v4, v5}) {
    auto c = parse_config(j, "config.json");
    ASSERT_TRUE(c) << c.error().message;
    ASSERT_EQ(c->ropes.size(), 1u);
    EXPECT_EQ(c->ropes[0].theta, 5e5);
    EXPECT_EQ(c->ropes[0].kind, RopeSpec::Kind::kLinear);
    EXPECT_EQ(c->ropes[0].factor, 4);
  }
}

TEST(Config, Defaults) {
  auto c = parse_config(small(), "config.json");
  ASSERT_TRUE(c);
  EXPECT_EQ(c->kv_heads, 4);
  EXPECT_EQ(c->head_dim, 16);
  EXPECT_FALSE(c->tied_head);
}

TEST(Config, RefusesInOneLine) {
  struct Case {
    const char* key;
    Json value;
    const char* said;
  };
  const Case cases[] = {
      {"model_type", "mamba", "known: llama, mistral, mixtral, qwen2, qwen3"},
      {"hidden_size", nullptr, "\"hidden_size\" is missing"},
      {"num_hidden_layers", 0, "outside 1..10000"},
      {"num_hidden_layers", 1000000, "outside 1..10000"},
      {"num_hidden_layers", "two", "whole number"},
      {"num_key_value_heads", 3, "cannot share"},
      {"num_attention_heads", 5, "do not divide"},
      {"vocab_size", -1, "outside"},
      {"rope_theta", 0, "should be positive"},
      {"eos_token_id", 100, "outside the vocabulary"},
      {"rope_scaling", Json{{"type", "mystery"}}, "rope scaling \"mystery\" is not known"},
      {"hidden_act", "sine", "activation \"sine\" is not known"},
  };
  for (const Case& test : cases) {
    Json j = small();
    j[test.key] = test.value;
    auto c = parse_config(j, "config.json");
    ASSERT_FALSE(c) << test.key;
    EXPECT_NE(c.error().message.find(test.said), std::string::npos) << c.error().message;
    EXPECT_EQ(c.error().message.find('\n'), std::string::npos);
  }
}

}  // namespace
}  // namespace nibble
