#include <cmath>

#include "formats/weights/test_util.h"

namespace nibble {
namespace {

constexpr const char *kConfig = R"({"quant_method":"bitsandbytes"})",
                     *kState = "m.weight.quant_state.bitsandbytes__nf4";

NamedTensor text(const std::string& name, const std::string& t) {
  return tensor_of(name, DType::kU8, {static_cast<int64_t>(t.size())},
                   std::vector<char>(t.begin(), t.end()));
}

std::vector<float> ramp(size_t count, float step) {
  std::vector<float> out(count);
  for (size_t i = 0; i < count; ++i) out[i] = static_cast<float>(i) * step;
  return out;
}

// m: (3, 3), nine values in blocks of four: 1, 2, 3 .. 9, high nibble first; quant_map i / 8.
std::vector<NamedTensor> four_bits() {
  return {
      tensor_of("m.weight", DType::kU8, {5, 1}, std::vector<uint8_t>{0x12, 0x34, 0x56, 0x78, 0x90}),
      floats_of("m.weight.absmax", DType::kF32, {3}, {8, 16, 80}),
      floats_of("m.weight.quant_map", DType::kF32, {16}, ramp(16, .125f)),
      text(kState, R"({"quant_type":"nf4","blocksize":4,"dtype":"float32","shape":[3,3]})")};
}

TEST(BitsAndBytes, LayoutOfFourBits) {
  auto form = form_of(kConfig).value();
  Checkpoint c = checkpoint_of(four_bits());
  ASSERT_TRUE(form->holds(c, "m"));
  EXPECT_FALSE(form->scheme_of(c, "m"));
  EXPECT_EQ(form->name_of(c, "m"), "nf4");
  EXPECT_EQ(form->module_of(kState), "m");
  EXPECT_EQ(form->module_of("m.weight.absmax"), "m");
  ASSERT_TRUE(succeeds(form->check(c, "m", 3, 3)));
  EXPECT_EQ(values_of(form->floats(c, "m", 3, 3)),
            (std::vector<float>{1, 2, 3, 4, 10, 12, 14, 16, 90}));
  EXPECT_TRUE(fails_with(form->quantized(c, "m", 3, 3), "no integers"));
}

TEST(BitsAndBytes, DoubleQuantizationAndTypes) {
  auto tensors = four_bits();
  tensors[1] = tensor_of("m.weight.absmax", DType::kU8, {3}, std::vector<uint8_t>{1, 2, 3});
  tensors[3] = text(kState, R"({"quant_type":"nf4","blocksize":4,"dtype":"bfloat16","shape":[3,3],
    "nested_blocksize":2,"nested_dtype":"float32","nested_offset":0.5})");
  tensors.push_back(floats_of("m.weight.nested_absmax", DType::kF32, {2}, {10, 100}));
  tensors.push_back(floats_of("m.weight.nested_quant_map", DType::kF32, {256}, ramp(256, 1)));
  auto form = form_of(kConfig).value();
  Checkpoint c = checkpoint_of(tensors);
  EXPECT_EQ(form->float_type(c, "m"), DType::kBF16);
  auto view = form->floats(c, "m", 3, 3);
  ASSERT_TRUE(succeeds(view));
  EXPECT_EQ(view->dtype, DType::kBF16);
  std::vector<float> w = values_of(view);  // scales 10.5, 20.5, 300.5
  EXPECT_EQ(w[0], bf16_to_float(float_to_bf16(.125f * 10.5f)));
  EXPECT_EQ(w[4], bf16_to_float(float_to_bf16(.625f * 20.5f)));
  EXPECT_EQ(w[8], bf16_to_float(float_to_bf16(1.125f * 300.5f)));
}

TEST(BitsAndBytes, LayoutOfEightBits) {
  std::vector<NamedTensor> tensors = {
      tensor_of("m.weight", DType::kI8, {2, 3}, std::vector<int8_t>{-127, 0, 127, 1, -2, 3}),
      floats_of("m.SCB", DType::kF32, {2}, {127, 254}),
      tensor_of("m.weight_format", DType::kU8, {}, std::vector<uint8_t>{0})};
  auto form = form_of(kConfig).value();
  Checkpoint c = checkpoint_of(tensors);
  ASSERT_TRUE(form->holds(c, "m"));
  EXPECT_EQ(form->scheme_of(c, "m")->name(), "w8");
  ASSERT_TRUE(succeeds(form->check(c, "m", 2, 3)));
  auto q = form->quantized(c, "m", 2, 3);
  ASSERT_TRUE(succeeds(q));
  EXPECT_EQ(q->grid(1, 0).scale, 2);
  EXPECT_EQ(values_of(form->floats(c, "m", 2, 3)), (std::vector<float>{-127, 0, 127, 2, -4, 6}));
  auto fails = [&](NamedTensor other, const char* problem) {
    EXPECT_TRUE(
        fails_with(form->check(checkpoint_with(tensors, std::move(other)), "m", 2, 3), problem));
  };
  fails(tensor_of("m.weight_format", DType::kU8, {}, std::vector<uint8_t>{1}), "weight_format");
  fails(floats_of("m.SCB", DType::kF32, {3}, {1, 1, 1}), "has shape [3]");
  fails(floats_of("m.SCB", DType::kF32, {2}, {1, NAN}), "value nan");
  fails(tensor_of("m.weight", DType::kI8, {6}, std::vector<int8_t>(6)), "has shape [6]");
}

TEST(BitsAndBytes, RefusesWhatDoesNotFit) {
  auto form = form_of(kConfig).value();
  auto fails = [&](NamedTensor other, const char* problem) {
    Checkpoint c = checkpoint_with(four_bits(), std::move(other));
    EXPECT_TRUE(fails_with(form->check(c, "m", 3, 3), problem));
    EXPECT_TRUE(fails_with(form->floats(c, "m", 3, 3), problem));
  };
  auto state = [&](const char* json, const char* problem) { fails(text(kState, json), problem); };
  state("{", "quant_state");
  state("[1]", "should be a JSON object");
  state(R"({"blocksize":4})", "\"dtype\" is missing");
  state(R"({"blocksize":0,"dtype":"float32"})", "blocksize cannot be 0");
  state(R"({"blocksize":4,"dtype":"int8"})", "\"int8\" is not read");
  state(R"({"blocksize":4,"dtype":"float32","quant_type":"fp4"})", "quant_type is \"fp4\"");
  state(R"({"blocksize":4,"dtype":"float32","nested_offset":1e300})", "nested_offset");
  state(R"({"blocksize":4,"dtype":"float32","shape":[9,1]})", "says shape");
  state(R"({"blocksize":4,"dtype":"float32"})", "says shape");
  fails(text(kState, std::string(70000, ' ')), "too long");
  fails(tensor_of("m.weight", DType::kU8, {4, 1}, std::vector<uint8_t>(4)), "has 4 bytes");
  fails(tensor_of("m.weight", DType::kI8, {5, 1}, std::vector<uint8_t>(5)), "dtype I8");
  fails(floats_of("m.weight.absmax", DType::kF32, {2}, {1, 1}), "has shape [2]");
  fails(floats_of("m.weight.absmax", DType::kF32, {3}, {1, 1, INFINITY}), "value inf");
  fails(tensor_of("m.weight.absmax", DType::kU8, {3}, std::vector<uint8_t>(3)), "nested_absmax");
  fails(floats_of("m.weight.quant_map", DType::kF32, {8}, ramp(8, 1)), "has shape [8]");
  EXPECT_FALSE(form->check(checkpoint_of(four_bits()), "m", int64_t{1} << 40, int64_t{1} << 40));
}

}  // namespace
}  // namespace nibble
