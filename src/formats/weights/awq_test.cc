#include <cmath>

#include "formats/weights/test_util.h"

namespace nibble {
namespace {

constexpr const char* kConfig =
    R"({"quant_method":"awq","bits":4,"group_size":2,"zero_point":true,"version":"gemm"})";

// m: (8, 4). Words of the published order: outputs 0, 2, 4, 6, 1, 3, 5, 7 from the lowest nibble
// up.
std::vector<NamedTensor> small() {
  std::vector<uint32_t> qweight = {0x75316420, 0x86427531, 0x97538642, 0xa8649753};
  std::vector<uint32_t> qzeros = {0x75316420, 0x88888888};
  std::vector<float> scales(16);
  for (size_t i = 0; i < 16; ++i) scales[i] = 1 + static_cast<float>(i);
  return {tensor_of("m.qweight", DType::kI32, {4, 1}, qweight),
          tensor_of("m.qzeros", DType::kI32, {2, 1}, qzeros),
          floats_of("m.scales", DType::kF16, {2, 8}, scales)};
}

TEST(Awq, Layout) {
  auto form = form_of(kConfig).value();
  Checkpoint c = checkpoint_of(small());
  ASSERT_TRUE(form->holds(c, "m"));
  EXPECT_EQ(form->scheme_of(c, "m")->name(), "w4g2-asym");
  ASSERT_TRUE(succeeds(form->check(c, "m", 8, 4)));
  auto q = form->quantized(c, "m", 8, 4);
  ASSERT_TRUE(succeeds(q));
  for (int64_t r = 0; r < 8; ++r) {
    std::vector<uint8_t> codes(4);
    q->codes(r, codes.data());
    for (size_t j = 0; j < 4; ++j) EXPECT_EQ(codes[j], static_cast<size_t>(r) + j) << r;
    EXPECT_EQ(q->grid(r, 0).zero, r);
    EXPECT_EQ(q->grid(r, 1).zero, 8);
    EXPECT_EQ(q->grid(r, 0).scale, 1 + r);
    EXPECT_EQ(q->grid(r, 1).scale, 9 + r);
  }
  Checkpoint middle = checkpoint_with(
      small(),
      tensor_of("m.qzeros", DType::kI32, {2, 1}, std::vector<uint32_t>{0x88888888, 0x88888888}));
  EXPECT_EQ(form->quantized(middle, "m", 8, 4)->scheme().name(), "w4g2");
}

TEST(Awq, TheOldFileBesideConfig) {
  TempFolder dir;
  ASSERT_TRUE(
      succeeds(write_file(dir / "quant_config.json",
                          R"({"zero_point":true,"q_group_size":2,"w_bit":4,"version":"GEMM"})")));
  auto form = weight_format_of(Json::object(), dir.path());
  ASSERT_TRUE(succeeds(form));
  EXPECT_EQ((*form)->scheme_of(checkpoint_of(small()), "m")->group, 2);
}

TEST(Awq, RefusesWhatItCannotMean) {
  for (auto [q, problem] : std::initializer_list<std::pair<const char*, const char*>>{
           {R"({"quant_method":"awq","bits":3})", "bits is 3"},
           {R"({"quant_method":"awq","version":"gemv"})", "\"gemv\" is not read"},
           {R"({"quant_method":"awq","format":"marlin"})", "\"marlin\" is not read"},
           {R"({"quant_method":"awq","group_size":0})", "group_size cannot be 0"}})
    EXPECT_TRUE(fails_with(form_of(q), problem)) << q;
  auto form = form_of(kConfig).value();
  auto fails = [&](NamedTensor other, const char* problem) {
    Checkpoint c = checkpoint_with(small(), std::move(other));
    EXPECT_TRUE(fails_with(form->check(c, "m", 8, 4), problem));
    EXPECT_TRUE(fails_with(form->quantized(c, "m", 8, 4), problem));
    EXPECT_TRUE(fails_with(form->floats(c, "m", 8, 4), problem));
  };
  fails(tensor_of("m.qweight", DType::kI32, {1, 4}, std::vector<uint32_t>(4)), "has shape [1, 4]");
  fails(tensor_of("m.qweight", DType::kU8, {4, 1}, std::vector<uint8_t>(4)), "dtype U8");
  fails({"m.qzeros", {}}, "no tensor \"m.qzeros\"");
  fails({"m.scales", {}}, "no tensor \"m.scales\"");
  fails(floats_of("m.scales", DType::kF16, {2, 8}, std::vector<float>(16, INFINITY)), "value inf");
  EXPECT_TRUE(fails_with(form->check(checkpoint_of(small()), "m", 7, 4), "no multiple of 8"));
}

}  // namespace
}  // namespace nibble
