#include "base/test_util.h"
#include "formats/weights/weight_format.h"

namespace nibble {
namespace {

Result<std::unique_ptr<WeightFormat>> of(const std::string& config) {
  return weight_format_of(parse_json(config, "t").value(), "/nowhere");
}

TEST(WeightFormats, PlainModelsHaveNone) {
  for (const char* config : {"{}", R"({"quantization_config":null})"}) {
    auto format = of(config);
    ASSERT_TRUE(succeeds(format));
    EXPECT_EQ(*format, nullptr) << config;
  }
}

TEST(WeightFormats, UnknownOnesAreRefusedByName) {
  for (const char* config : {R"({"quantization_config":{}})", R"({"quantization_config":7})"})
    EXPECT_TRUE(fails_with(of(config), "\"quant_method\" is missing")) << config;
  EXPECT_TRUE(fails_with(of(R"({"quantization_config":{"quant_method":"quip"}})"),
                         "quant_method \"quip\" is not read; known: compressed-tensors, gptq"));
}

}  // namespace
}  // namespace nibble
