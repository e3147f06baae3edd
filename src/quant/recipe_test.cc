#include "quant/recipe.h"

#include <gtest/gtest.h>

#include "base/file.h"
#include "base/test_util.h"

namespace nibble {
namespace {

DecoderConfig model(int64_t layers) {
  DecoderConfig c;
  c.layers = layers;
  c.hidden = 64;
  c.heads = c.kv_heads = 2;
  c.head_dim = 32;
  c.mlp = 96;
  c.vocab = 100;
  c.embedding_width = 64;
  c.blocks.resize(static_cast<size_t>(layers));
  c.tied_head = true;
  return c;
}

std::string choice(const Plan& plan, const std::string& module) {
  const ModuleChoice& c = plan.of(module);
  return c.scheme ? c.scheme->name() + " " + c.method->name : "float";
}

// The message of the first step that fails.
std::string refusal(const std::vector<RecipeEntry>& entries, int64_t layers = 4) {
  auto recipe = Recipe::build(entries);
  if (!recipe) return recipe.error().message;
  auto plan = recipe->resolve(model(layers));
  return plan ? "" : plan.error().message;
}

std::vector<RecipeEntry> read_text(const std::string& name, const std::string& text) {
  TempFolder folder;
  std::string path = folder.path() + "/" + name;
  EXPECT_TRUE(write_file(path, text));
  auto entries = read_recipe(path);
  EXPECT_TRUE(entries) << (entries ? "" : entries.error().message);
  return entries ? *entries : std::vector<RecipeEntry>{};
}

TEST(Recipe, ThreeLinesForTheIssuesExample) {
  auto entries = read_text("r.yaml",
                           "layers 0-7: w8g256 rtn\n"
                           "rest: w4g128 gptq\n"
                           "embedding: w8\n");
  auto recipe = Recipe::build(entries);
  ASSERT_TRUE(recipe) << recipe.error().message;
  auto plan = recipe->resolve(model(10));
  ASSERT_TRUE(plan) << plan.error().message;
  EXPECT_EQ(choice(*plan, "model.layers.7.mlp.up_proj"), "w8g256 rtn");
  EXPECT_EQ(choice(*plan, "model.layers.8.self_attn.k_proj"), "w4g128 gptq");
  EXPECT_EQ(choice(*plan, "model.embed_tokens"), "w8 rtn");
  EXPECT_EQ(choice(*plan, "lm_head"), "float");
  EXPECT_FALSE(plan->unties_head());
  EXPECT_EQ(plan->need(), InputStatistics::Need::kHessian);
}

TEST(Recipe, FirstMatchWinsAndNamesAreTailsOrPatterns) {
  auto recipe = Recipe::build({{"layers 0,3- qkv", "float", ""},
                               {"layers 1 self_attn.k_proj", "w5 rtn", ""},
                               {"*.1.*.q_proj", "w6g32", ""},
                               {"gate_up,down_proj", "w3g64-asym rtn-mse", ""},
                               {"rest", "w4", ""},
                               {"method", "gptq", ""}});
  ASSERT_TRUE(recipe) << recipe.error().message;
  auto plan = recipe->resolve(model(5));
  ASSERT_TRUE(plan) << plan.error().message;
  EXPECT_EQ(choice(*plan, "model.layers.0.self_attn.v_proj"), "float");
  EXPECT_EQ(choice(*plan, "model.layers.4.self_attn.q_proj"), "float");
  EXPECT_EQ(choice(*plan, "model.layers.1.self_attn.k_proj"), "w5 rtn");
  EXPECT_EQ(choice(*plan, "model.layers.1.self_attn.q_proj"), "w6g32 gptq");
  EXPECT_EQ(choice(*plan, "model.layers.2.mlp.gate_proj"), "w3g64-asym rtn-mse");
  EXPECT_EQ(choice(*plan, "model.layers.2.self_attn.o_proj"), "w4 gptq");
}

TEST(Recipe, TheEffectiveRecipeReadsBackTheSame) {
  auto recipe = Recipe::build({{"layers  0-1", "w8g256", ""},
                               {"preset", "balanced", ""},
                               {"embedding", "w8", ""},
                               {"damping", "0.05", ""},
                               {"scale-type", "f32", ""}});
  ASSERT_TRUE(recipe) << recipe.error().message;
  Json json = recipe->json();
  EXPECT_EQ(json["rules"], Json({"layers 0-1: w8g256 balanced", "embedding: w8 rtn",
                                 "rest: w4g128-asym balanced"}));
  auto again = Recipe::build(read_text("nibble.json", Json{{"recipe", json}}.dump()));
  ASSERT_TRUE(again) << again.error().message;
  EXPECT_EQ(again->json(), json);
  EXPECT_EQ(again->settings().methods.damping, .05);
  EXPECT_EQ(again->settings().scale_type, DType::kF32);
  EXPECT_EQ(again->scheme_summary(), "mixed (w8g256, w4g128-asym)");
  EXPECT_EQ(again->method_summary(), "balanced");
}

TEST(Recipe, ListsReadAsMapsDo) {
  auto entries =
      read_text("r.yaml", "damping: 0.02\nrules:\n  - layers 0: w8\n  - 'rest: w4g32 rtn'\n");
  auto recipe = Recipe::build(entries);
  ASSERT_TRUE(recipe) << recipe.error().message;
  EXPECT_EQ(recipe->json()["rules"], Json({"layers 0: w8 rtn", "rest: w4g32 rtn"}));
}

TEST(Recipe, WhatIsWrongIsNamed) {
  auto has = [](const std::string& text, const char* part) {
    EXPECT_NE(text.find(part), std::string::npos) << text;
  };
  has(refusal({{"rest", "w4", ""}, {"layers 9-", "w8", "r.yaml"}}),
      "\"layers 9-\" decides nothing");
  has(refusal({{"rest", "w4", ""}, {"down_proj", "w8", "r.yaml"}}), "decides nothing");
  has(refusal({{"layers 0-2", "w4", ""}}), "model.layers.3.self_attn.q_proj");
  has(refusal({{"rest", "float", ""}}), "quantizes nothing");
  has(refusal({{"rest", "w9", "r.yaml"}}), "r.yaml: \"rest\": \"w9\" is not a scheme");
  has(refusal({{"rest", "w4 magic", ""}}), "not a method");
  has(refusal({{"rest", "w4", ""}, {"embedding", "w8 gptq", ""}}), "without calibration");
  has(refusal({{"layers 3-1", "w4", ""}}), "not a list of layers");
  has(refusal({{"dampin g", "w4", ""}}), "damping");
  has(refusal({{"damping", ".1", "r.yaml"}, {"damping", ".2", ""}}), "leave one out");
  has(refusal({{"damping", "lots", ""}}), "number from 0 to 1");
  has(refusal({{"preset", "magic", ""}}), "balanced");
}

TEST(Recipe, FilesThatAreNoRecipes) {
  TempFolder folder;
  int count = 0;
  for (const char* text : {"", "just words", "rest: [w4]", "a: b: c", "? [x]\n: w4", "- rest"}) {
    std::string path = folder.path() + fmt::format("/r{}.yaml", count++);
    ASSERT_TRUE(write_file(path, text));
    auto read = read_recipe(path);
    ASSERT_FALSE(read) << text;
    EXPECT_TRUE(read.error().message.starts_with(path)) << read.error().message;
  }
  EXPECT_FALSE(read_recipe(folder.path() + "/none.yaml"));
}

}  // namespace
}  // namespace nibble
