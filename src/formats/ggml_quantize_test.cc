#include "formats/ggml_quantize.h"

#include <cmath>
#include <random>

#include "base/json.h"
#include "base/test_util.h"

namespace nibble {
namespace {

std::vector<std::byte> from_hex(const std::string& hex) {
  std::vector<std::byte> out;
  for (size_t i = 0; i + 1 < hex.size(); i += 2)
    out.push_back(static_cast<std::byte>(std::stoi(hex.substr(i, 2), nullptr, 16)));
  return out;
}

// tools/make_ggml_vectors.py wrote what the gguf package makes of random floats.
TEST(GgmlQuantize, PlainTypesHaveTheBytesOfTheGgufPackage) {
  auto vectors = read_json(NIBBLE_SOURCE_DIR "/tests/ggml_quantized.json");
  ASSERT_TRUE(succeeds(vectors));
  std::vector<std::byte> raw = from_hex((*vectors)["floats"]);
  std::vector<float> x(raw.size() / 4);
  std::memcpy(x.data(), raw.data(), raw.size());
  for (const char* name : {"F16", "BF16", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0"}) {
    const GgmlType& type = *find_ggml_type(name);
    std::vector<std::byte> expected = from_hex((*vectors)[name]);
    std::vector<std::byte> own(expected.size());
    ASSERT_EQ(static_cast<int64_t>(x.size()) / type.block * type.bytes,
              static_cast<int64_t>(own.size()));
    ggml_quantize(type, x.data(), static_cast<int64_t>(x.size()), own.data());
    EXPECT_EQ(own, expected) << name;
  }
}

std::vector<float> normal_floats(size_t count) {
  std::mt19937 random(7);
  std::normal_distribution<float> normal(0, 0.02f);
  std::vector<float> out(count);
  for (float& v : out) v = normal(random);
  return out;
}

double relative_error(const GgmlType& type, const std::vector<float>& x) {
  auto count = static_cast<int64_t>(x.size());
  std::vector<std::byte> blocks(static_cast<size_t>(count / type.block * type.bytes));
  std::vector<float> y(x.size());
  ggml_quantize(type, x.data(), count, blocks.data());
  type.to_float(blocks.data(), count / type.block, y.data());
  double error = 0, total = 0;
  for (size_t i = 0; i < x.size(); ++i) {
    error += (y[i] - x[i]) * static_cast<double>(y[i] - x[i]);
    total += x[i] * static_cast<double>(x[i]);
  }
  return std::sqrt(error / total);
}

struct Case {
  const char* name;
  double most;
};

// What ggml's own rounding (quantize_row_*_ref of llama.cpp 0.5) leaves of such numbers.
TEST(GgmlQuantize, SearchedTypesStayWithinTheirErrors) {
  std::vector<float> x = normal_floats(256 * 64);
  for (auto [name, most] : {Case{"Q6_K", .0185},
                            {"Q5_K", .037},
                            {"Q4_K", .075},
                            {"IQ4_NL", .077},
                            {"IQ4_XS", .078},
                            {"Q3_K", .165},
                            {"Q2_K", .30}})
    EXPECT_LT(relative_error(*find_ggml_type(name), x), most) << name;
}

TEST(GgmlQuantize, AGroupWithOneLargeValue) {
  constexpr float kGroup[16] = {-.21484375f, .0859375f,  -.01049805f, -.09716797f,
                                .07226562f,  .09960938f, -.05419922f, -.00582886f,
                                .06738281f,  .00518799f, -.07226562f, -.03930664f,
                                .06445312f,  .01806641f, .04077148f,  .05200195f};
  std::vector<float> x, y(256);
  for (int i = 0; i < 256; ++i) x.push_back(kGroup[i % 16]);
  for (auto [name, most] : {Case{"Q6_K", .004}, Case{"Q5_K", .02}, Case{"Q4_K", .02}}) {
    const GgmlType& type = *find_ggml_type(name);
    std::vector<std::byte> block(static_cast<size_t>(type.bytes));
    ggml_quantize(type, x.data(), 256, block.data());
    type.to_float(block.data(), 1, y.data());
    for (int i = 0; i < 256; ++i) ASSERT_NEAR(y[i], x[i], most) << name << ' ' << i;
  }
}

TEST(GgmlQuantize, ZerosAndOneValueStayWhatTheyAre) {
  for (const GgmlType& type : ggml_types()) {
    std::vector<float> zeros(256);
    std::vector<std::byte> blocks(static_cast<size_t>(256 / type.block * type.bytes));
    std::vector<float> y(256, 1.f);
    ggml_quantize(type, zeros.data(), 256, blocks.data());
    type.to_float(blocks.data(), 256 / type.block, y.data());
    for (float v : y) ASSERT_EQ(v, 0.f) << type.name;
    std::vector<float> ones(256, -0.5f);
    ggml_quantize(type, ones.data(), 256, blocks.data());
    type.to_float(blocks.data(), 256 / type.block, y.data());
    for (float v : y) ASSERT_NEAR(v, -0.5f, 0.02f) << type.name;
  }
}

}  // namespace
}  // namespace nibble
