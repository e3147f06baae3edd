#include <algorithm>

#include "base/test_util.h"
#include "formats/compressed_tensors.h"
#include "formats/name_pattern.h"

namespace nibble {
namespace {

Scheme scheme(const char* name) { return Scheme::parse(name).value(); }

Result<CompressedTensorsConfig> parse(const std::string& quantization_config) {
  return CompressedTensorsConfig::parse(parse_json(quantization_config, "t").value(),
                                        "config.json quantization_config");
}
// A config whose only group has these weights.
Result<CompressedTensorsConfig> parse_weights(const std::string& weights) {
  return parse(fmt::format(R"({{"quant_method":"compressed-tensors","format":"pack-quantized",
      "config_groups":{{"g":{{"targets":["Linear"],"weights":{}}}}}}})",
                           weights));
}

TEST(Config, RoundTrips) {
  std::vector<QuantizedModule> modules = {{"model.layers.0.a", scheme("w4g128")},
                                          {"model.layers.10.a", scheme("w8")},
                                          {"model.layers.0.b", scheme("w4g128")},
                                          {"model.layers.0.c", scheme("w3-asym")},
                                          {"model.layers.0.d", scheme("w2t")}};
  Json config = compressed_tensors_config(modules, {"lm_head"});
  EXPECT_EQ(config["format"], "mixed-precision");
  EXPECT_EQ(config["config_groups"].size(), 4u);
  EXPECT_FALSE(config.contains("dequantize"));
  auto parsed = CompressedTensorsConfig::parse(config, "c");
  ASSERT_TRUE(succeeds(parsed));
  for (const auto& m : modules) EXPECT_EQ(parsed->scheme_of(m.module), m.scheme) << m.module;
  EXPECT_FALSE(parsed->scheme_of("lm_head"));
  for (const char* other : {"model.layers.0", "model.layers.0.a.x", "model.layers.00a", "x"})
    EXPECT_FALSE(parsed->scheme_of(other)) << other;
}

TEST(Config, OneSchemeTargetsAllLinears) {
  for (const char* name : {"w4g128", "w8", "w4-asym", "w8t-asym", "w5-full"}) {
    Json q = compressed_tensors_config({{"a", scheme(name)}, {"b", scheme(name)}}, {"lm_head"});
    ASSERT_EQ(q["config_groups"].size(), 1u);
    const Json& group = q["config_groups"]["group_0"];
    EXPECT_EQ(group["targets"], Json::array({"Linear"}));
    EXPECT_EQ(q["ignore"], Json::array({"lm_head"}));
    EXPECT_EQ(q["format"], group["format"]);
    EXPECT_EQ(q["format"], scheme(name).bits == 8 ? "int-quantized" : "pack-quantized");
    EXPECT_EQ(q.contains("dequantize"), scheme(name).asymmetric());
    auto parsed = CompressedTensorsConfig::parse(q, "c");
    ASSERT_TRUE(succeeds(parsed));
    Scheme expected = scheme(name);
    if (expected.symmetry == Symmetry::kFullRange) expected.symmetry = Symmetry::kSymmetric;
    EXPECT_EQ(parsed->scheme_of("anything"), expected);
    EXPECT_FALSE(parsed->scheme_of("lm_head"));
  }
  Json both = compressed_tensors_config({{"a", scheme("w4")}, {"b", scheme("w4-full")}}, {});
  EXPECT_EQ(both["config_groups"].size(), 1u) << "readers see no difference";
}

TEST(Config, StatesInputs) {
  using enum StatedInputs;
  Json token = compressed_tensors_config({{"a", scheme("w8"), kToken}}, {});
  const Json& group = token["config_groups"]["group_0"];
  EXPECT_EQ(group["format"], "int-quantized");
  EXPECT_EQ(group["input_activations"]["strategy"], "token");
  EXPECT_EQ(group["input_activations"]["dynamic"], true);
  EXPECT_EQ(group["weights"]["dynamic"], false);
  Json mixed = compressed_tensors_config(
      {{"a", scheme("w8"), kStatic}, {"b", scheme("w8"), kNone}, {"c", scheme("w8"), kStatic}}, {});
  ASSERT_EQ(mixed["config_groups"].size(), 2u);
  const Json& inputs = mixed["config_groups"]["group_0"]["input_activations"];
  EXPECT_EQ(inputs["strategy"], "tensor");
  EXPECT_EQ(inputs["dynamic"], false);
  EXPECT_EQ(inputs["num_bits"], 8);
  EXPECT_EQ(inputs["symmetric"], true);
  EXPECT_TRUE(mixed["config_groups"]["group_1"]["input_activations"].is_null());
  auto parsed = CompressedTensorsConfig::parse(mixed, "c");
  ASSERT_TRUE(succeeds(parsed));
  EXPECT_FALSE(parsed->keeps_float_inputs("a"));
  EXPECT_TRUE(parsed->keeps_float_inputs("b"));
  EXPECT_FALSE(parsed->keeps_float_inputs("lm_head")) << "of no group";
  parsed = CompressedTensorsConfig::parse(
      compressed_tensors_config({{"a", scheme("w8")}, {"b", scheme("w4")}}, {}), "c");
  ASSERT_TRUE(succeeds(parsed));
  EXPECT_FALSE(parsed->keeps_float_inputs("a")) << "nothing is said of inputs";
}

TEST(Config, DefaultsOfThePackage) {
  EXPECT_EQ(parse_weights(R"({"num_bits":4})")->scheme_of("a"), scheme("w4t"));
  EXPECT_EQ(parse_weights("{}")->scheme_of("a"), scheme("w8t"));
  EXPECT_EQ(parse_weights(R"({"num_bits":4,"group_size":-1})")->scheme_of("a"), scheme("w4"));
  EXPECT_EQ(parse_weights(R"({"num_bits":4,"group_size":32,"symmetric":false})")->scheme_of("a"),
            scheme("w4g32-asym"));
  EXPECT_EQ(
      parse_weights(R"({"num_bits":4,"actorder":"weight","strategy":"channel"})")->scheme_of("a"),
      scheme("w4"));
}

TEST(Config, SaysWhatElseAFolderNeeds) {
  for (const char* order : {R"("group")", "true"}) {
    auto parsed = parse_weights(fmt::format(R"({{"num_bits":4,"actorder":{}}})", order));
    ASSERT_TRUE(succeeds(parsed));
    EXPECT_TRUE(parsed->weights_of("a")->reordered);
  }
  auto parsed = parse_weights(R"({"type":"float","strategy":"block","block_structure":[128,64]})");
  ASSERT_TRUE(succeeds(parsed));
  EXPECT_FALSE(parsed->scheme_of("a"));
  EXPECT_EQ(parsed->weights_of("a")->block_rows, 128);
  EXPECT_EQ(parsed->weights_of("a")->block_columns, 64);
}

TEST(Config, RefusesByName) {
  struct Case {
    const char* weights;
    const char* message;
  };
  for (const Case& c : std::initializer_list<Case>{
           {"null", "names no \"weights\""},
           {R"({"type":"complex"})", "type \"complex\""},
           {R"({"num_bits":1})", "num_bits is 1"},
           {R"({"num_bits":9})", "num_bits is 9"},
           {R"({"num_bits":"4"})", "whole number"},
           {R"({"strategy":"block"})", "strategy \"block\""},
           {R"({"strategy":"tensor_group","group_size":16})", "tensor_group"},
           {R"({"strategy":"group"})", "group_size cannot be 0"},
           {R"({"strategy":"group","group_size":-1})", "group_size cannot be -1"},
           {R"({"strategy":"group","group_size":4294967296})", "group_size cannot be"},
           {R"({"symmetric":"yes"})", "true or false"},
           {R"({"dynamic":true})", "dynamically"}})
    EXPECT_TRUE(fails_with(parse_weights(c.weights), c.message)) << c.weights;

  auto with = [](const std::string& rest) {
    return parse("{\"quant_method\":\"compressed-tensors\"," + rest + "}");
  };
  const char* groups = R"("config_groups":{"g":{"targets":["Linear"],"weights":{"num_bits":4}}})";
  EXPECT_TRUE(succeeds(with(groups)));
  EXPECT_TRUE(fails_with(with("\"x\":1"), "no config_groups"));
  EXPECT_TRUE(fails_with(with(R"("config_groups":{"W4A16":["Linear"]})"), "preset"));
  EXPECT_TRUE(fails_with(with(R"("config_groups":{"g":{"targets":"Linear"}})"), "list of"));
  EXPECT_TRUE(fails_with(with(R"("config_groups":{"g":{"targets":[3]}})"), "names only"));
  for (const char* format : {"marlin-24", "mxfp6-pack-quantized", "dense"})
    EXPECT_TRUE(fails_with(with(fmt::format("\"format\":\"{}\",{}", format, groups)), format));
  EXPECT_TRUE(fails_with(
      with(fmt::format(R"("sparsity_config":{{"format":"sparse-24-bitmask"}},{})", groups)),
      "sparse-24-bitmask"));
  EXPECT_TRUE(
      succeeds(with(fmt::format(R"("sparsity_config":{{}},"transform_config":{{}},{})", groups))));
  EXPECT_TRUE(fails_with(with(fmt::format(R"("transform_config":{{"r1":1}},{})", groups)),
                         "transform_config"));
  EXPECT_TRUE(
      fails_with(with(fmt::format(R"("ignore":["re:("],{})", groups)), "not a regular expression"));
}

TEST(Config, TheClosestTargetDecides) {
  auto group = [](const char* targets, int bits) {
    return fmt::format(R"({{"targets":{},"weights":{{"num_bits":{}}}}})", targets, bits);
  };
  auto config = parse(fmt::format(
      R"({{"quant_method":"compressed-tensors","config_groups":{{"a":{},"b":{},"c":{},"d":{}}},
          "ignore":["lm_head","re:.*gate$"]}})",
      group(R"(["Linear"])", 2), group(R"(["re:.*down_proj","re:zzz"])", 3),
      group(R"(["q_proj"])", 4), group(R"(["m.0.down_proj"])", 5)));
  ASSERT_TRUE(succeeds(config));
  EXPECT_EQ(config->scheme_of("m.0.up_proj")->bits, 2);
  EXPECT_EQ(config->scheme_of("m.1.down_proj")->bits, 3);
  EXPECT_EQ(config->scheme_of("m.0.q_proj")->bits, 4);
  EXPECT_EQ(config->scheme_of("m.0.down_proj")->bits, 5);
  EXPECT_FALSE(config->scheme_of("lm_head"));
  EXPECT_FALSE(config->scheme_of("m.0.gate"));
  EXPECT_EQ(config->scheme_of("m.0.gate_proj")->bits, 2);
}

TEST(NamePattern, Matches) {
  using Match = NamePattern::Match;
  auto match = [](const char* pattern, const char* name) {
    return NamePattern::compile(pattern, "t").value().match(name);
  };
  EXPECT_EQ(match("Linear", "any.thing"), Match::kClass);
  EXPECT_EQ(match("mlp.up", "a.mlp.up"), Match::kTail);
  EXPECT_EQ(match("up", "a.mlp.gate_up"), Match::kNone);
  EXPECT_EQ(match("", "a"), Match::kNone);
  EXPECT_EQ(match("a.b", "a.b"), Match::kName);
  EXPECT_EQ(match("a.b", "axb"), Match::kNone);
  EXPECT_EQ(match("re:a.b", "axbc"), Match::kRegex) << "from the start, not to the end";
  EXPECT_EQ(match("re:b", "ab"), Match::kNone);
  EXPECT_EQ(match("re:(?!a).*", "ab"), Match::kNone);
  EXPECT_EQ(match("re:a.b$", "axb"), Match::kRegex);
  EXPECT_EQ(match("re:a\\d$", "a7"), Match::kRegex);
  EXPECT_EQ(match("re:a\\.b", "a.bc"), Match::kRegex);
  EXPECT_EQ(match("re:a\\.b$", "a.bc"), Match::kNone);
  EXPECT_EQ(match("re:\xc3\xa4$", "\xc3\xa4"), Match::kRegex);
}

TEST(NamePattern, ExactPatternMatchesOnlyItsName) {
  std::string name = "model.layers.1.a+b(c)[d]{2}|e\\f^$*?";
  auto pattern = NamePattern::compile(exact_pattern(name), "t").value();
  EXPECT_EQ(pattern.match(name), NamePattern::Match::kRegex);
  for (const char* other : {"model.layers.1.a", "modelxlayers", "model.layers.10.a"})
    EXPECT_EQ(pattern.match(other), NamePattern::Match::kNone);
  EXPECT_EQ(exact_pattern("model.layers.0.q_proj"), "re:model\\.layers\\.0\\.q_proj$");
}

TEST(NamePattern, HostileExpressionsEnd) {
  auto slow = NamePattern::compile("re:(a*)*b", "t").value();
  EXPECT_EQ(slow.match(std::string(5000, 'a')), NamePattern::Match::kNone);
  EXPECT_FALSE(NamePattern::compile("re:" + std::string(10'000, '('), "t"));
  EXPECT_FALSE(NamePattern::compile("re:((a{1000}){1000}){1000}", "t"));
  EXPECT_FALSE(NamePattern::compile("re:\xff", "t"));
  EXPECT_TRUE(fails_with(NamePattern::compile("re:[\n", "t"), "re:[\\n"));
}

TEST(WhyOnlyNibble, SaysWhatTransformersCannotLoad) {
  auto why = [](std::vector<std::pair<const char*, int64_t>> modules) {
    std::vector<QuantizedModule> quantized;
    std::vector<std::pair<int64_t, int64_t>> shapes;
    for (auto [name, k] : modules) {
      quantized.push_back({fmt::format("m{}", quantized.size()), scheme(name)});
      shapes.emplace_back(64, k);
    }
    return why_only_nibble(quantized, shapes);
  };
  for (const char* good : {"w4g128", "w4", "w4t", "w3g128", "w2g64", "w4g128-asym", "w8", "w8t",
                           "w8g128", "w8-asym", "w8t-asym", "w4t-asym", "w4g128-full"})
    EXPECT_EQ(why({{good, 256}, {good, 512}}), "") << good;
  EXPECT_EQ(why({{"w4g128", 256}, {"w8", 256}, {"w3t", 256}, {"w8-asym", 256}}), "");
  EXPECT_NE(why({{"w4g128", 300}}), "");
  EXPECT_NE(why({{"w4g512", 256}}), "");
  EXPECT_NE(why({{"w4g128-asym", 256}, {"w8", 256}}), "");
  EXPECT_NE(why({{"w4", 256}, {"w8t-asym", 256}}), "");
  std::vector<QuantizedModule> bytes = {{"a", scheme("w8-asym")}, {"b", scheme("w8")}};
  EXPECT_EQ(why_only_nibble(bytes, {{64, 256}, {64, 256}}, false), "");
  EXPECT_NE(why_only_nibble(bytes, {{64, 256}, {64, 256}}, true), "");
  EXPECT_NE(why_only_nibble({{"transformer.h.0.attn.c_attn", scheme("w4")}}, {{192, 64}}), "");
}

}  // namespace
}  // namespace nibble
