// FP8, MXFP4 and NVFP4 by hand, in each of the forms that store them.
#include "formats/weights/block_floats.h"

#include <cmath>

#include "formats/weights/test_util.h"

namespace nibble {
namespace {

// E4M3: 0x38 is 1, 0x40 is 2, 0xc8 is -4, 0x01 is 2^-9, 0x7e is 448.
NamedTensor f8(const std::string& name, std::vector<int64_t> shape, std::vector<uint8_t> bytes) {
  return tensor_of(name, DType::kF8E4M3, std::move(shape), bytes);
}
NamedTensor f32(const std::string& name, std::vector<int64_t> shape, std::vector<float> values) {
  return floats_of(name, DType::kF32, std::move(shape), values);
}
std::string group(const std::string& format, const std::string& weights) {
  return fmt::format(
      R"({{"quant_method":"compressed-tensors","format":"{}","config_groups":{{"g":{{)"
      R"("targets":["Linear"],"weights":{{{}}}}}}}}})",
      format, weights);
}

TEST(BlockFloats, Fp8ByBlocks) {
  auto form = form_of(R"({"quant_method":"fp8","weight_block_size":[2,2]})").value();
  std::vector<NamedTensor> tensors = {
      f8("m.weight", {3, 3}, {0x38, 0x40, 0xc8, 0x01, 0x7e, 0x38, 0x38, 0x38, 0x38}),
      f32("m.weight_scale_inv", {2, 2}, {1, 10, 100, 1000})};
  Checkpoint c = checkpoint_of(tensors);
  ASSERT_TRUE(form->holds(c, "m"));
  EXPECT_EQ(form->name_of(c, "m"), "fp8");
  ASSERT_TRUE(succeeds(form->check(c, "m", 3, 3)));
  EXPECT_EQ(values_of(form->floats(c, "m", 3, 3)),
            (std::vector<float>{1, 2, -40, 0x1p-9f, 448, 10, 100, 100, 1000}));
  auto fails = [&](NamedTensor other, const char* problem) {
    EXPECT_TRUE(
        fails_with(form->check(checkpoint_with(tensors, std::move(other)), "m", 3, 3), problem));
  };
  fails(f32("m.weight_scale_inv", {2, 1}, {1, 1}), "has shape [2, 1], should be [2, 2]");
  fails(f32("m.weight_scale_inv", {2, 2}, {1, 1, 1, NAN}), "value nan");
  fails(tensor_of("m.weight_scale_inv", DType::kI32, {2, 2}, std::vector<int>(4)), "dtype I32");
  fails({"m.weight_scale_inv", {}}, "no tensor");
  fails(f8("m.weight", {9}, std::vector<uint8_t>(9)), "has shape [9]");
  EXPECT_FALSE(form->check(c, "m", 4, 3));
  EXPECT_TRUE(
      fails_with(form_of(R"({"quant_method":"fp8","weight_block_size":[2]})"), "two sizes"));
}

TEST(BlockFloats, Fp8ByTensorAndRow) {
  auto form = form_of(R"({"quant_method":"fbgemm_fp8"})").value();
  NamedTensor codes = f8("m.weight", {2, 2}, {0x38, 0x40, 0x38, 0x40});
  for (auto [shape, scales, expected] :
       std::initializer_list<std::tuple<std::vector<int64_t>, std::vector<float>, float>>{
           {{}, {3}, 3}, {{1}, {3}, 3}, {{2}, {3, 5}, 5}, {{2, 1}, {3, 5}, 5}}) {
    Checkpoint c = checkpoint_of({codes, f32("m.weight_scale", shape, scales)});
    EXPECT_EQ(values_of(form->floats(c, "m", 2, 2)),
              (std::vector<float>{3, 6, expected, 2 * expected}));
  }
}

// 0x21: the low nibble, 1 (0.5), comes first.
TEST(BlockFloats, Mxfp4OfGptOss) {
  auto form = form_of(R"({"quant_method":"mxfp4"})").value();
  std::vector<uint8_t> codes(32, 0x21);
  codes[31] = 0xf7;  // 6, -6
  std::vector<NamedTensor> tensors = {
      tensor_of("m_blocks", DType::kU8, {1, 2, 16}, codes),
      tensor_of("m_scales", DType::kU8, {1, 2}, std::vector<uint8_t>{127, 129})};
  Checkpoint c = checkpoint_of(tensors);
  ASSERT_TRUE(form->holds(c, "m"));
  EXPECT_EQ(form->module_of("m_scales"), "m");
  std::vector<float> w = values_of(form->floats(c, "m", 1, 64));
  ASSERT_EQ(w.size(), 64u);
  EXPECT_EQ(w[0], .5f);
  EXPECT_EQ(w[1], 1);
  EXPECT_EQ(w[32], 2);
  EXPECT_EQ(w[62], 24);
  EXPECT_EQ(w[63], -24);
  EXPECT_TRUE(
      fails_with(form->check(checkpoint_with(tensors, tensor_of("m_scales", DType::kU8, {1, 2},
                                                                std::vector<uint8_t>{127, 255})),
                             "m", 1, 64),
                 "value nan"));
  EXPECT_FALSE(form->check(c, "m", 1, 32));
}

TEST(BlockFloats, Nvfp4OfModelOpt) {
  auto form = form_of(R"({"quant_method":"modelopt","quant_algo":"NVFP4"})").value();
  std::vector<NamedTensor> tensors = {
      tensor_of("m.weight", DType::kU8, {1, 16}, std::vector<uint8_t>(16, 0x9a)),
      f8("m.weight_scale", {1, 2}, {0x38, 0x40}), f32("m.weight_scale_2", {}, {.25f})};
  Checkpoint c = checkpoint_of(tensors);
  EXPECT_EQ(form->name_of(c, "m"), "nvfp4");
  std::vector<float> w = values_of(form->floats(c, "m", 1, 32));
  ASSERT_EQ(w.size(), 32u);
  EXPECT_EQ(w[0], -.25f);
  EXPECT_EQ(w[1], -.125f);
  EXPECT_EQ(w[16], -.5f);
  EXPECT_TRUE(fails_with(
      form->check(checkpoint_with(tensors, {"m.weight_scale_2", {}}), "m", 1, 32), "no tensor"));
  EXPECT_TRUE(fails_with(form_of(R"({"quant_method":"modelopt","quant_algo":"W4A16_AWQ"})"),
                         "\"W4A16_AWQ\" is not read"));
  TempFolder dir;
  ASSERT_TRUE(succeeds(write_file(dir / "hf_quant_config.json",
                                  R"({"producer":{},"quantization":{"quant_algo":"FP8"}})")));
  EXPECT_TRUE(succeeds(weight_format_of(Json::object(), dir.path())));
}

TEST(BlockFloats, CompressedTensors) {
  auto fp8 =
      form_of(group("float-quantized",
                    R"("num_bits":8,"type":"float","strategy":"block","block_structure":[1,2])"))
          .value();
  Checkpoint c = checkpoint_of({f8("m.weight", {1, 4}, {0x38, 0x38, 0x38, 0x38}),
                                floats_of("m.weight_scale", DType::kBF16, {1, 2}, {2, 3})});
  ASSERT_TRUE(fp8->holds(c, "m"));
  EXPECT_EQ(fp8->name_of(c, "m"), "fp8");
  EXPECT_FALSE(fp8->scheme_of(c, "m"));
  EXPECT_EQ(values_of(fp8->floats(c, "m", 1, 4)), (std::vector<float>{2, 2, 3, 3}));

  auto nvfp4 =
      form_of(group("nvfp4-pack-quantized",
                    R"("num_bits":4,"type":"float","strategy":"tensor_group","group_size":16)"))
          .value();
  std::vector<NamedTensor> tensors = {
      tensor_of("m.weight_packed", DType::kU8, {1, 8}, std::vector<uint8_t>(8, 0x32)),
      f8("m.weight_scale", {1, 1}, {0x40}), f32("m.weight_global_scale", {1}, {4})};
  c = checkpoint_of(tensors);
  EXPECT_EQ(nvfp4->name_of(c, "m"), "nvfp4");
  std::vector<float> w = values_of(nvfp4->floats(c, "m", 1, 16));
  ASSERT_EQ(w.size(), 16u);
  EXPECT_EQ(w[0], .5f);
  EXPECT_EQ(w[1], .75f);
  EXPECT_TRUE(fails_with(
      nvfp4->check(checkpoint_with(tensors, f32("m.weight_global_scale", {1}, {0})), "m", 1, 16),
      "is 0"));

  auto mxfp4 = form_of(group("mxfp4-pack-quantized",
                             R"("num_bits":4,"type":"float","strategy":"group","group_size":32)"))
                   .value();
  c = checkpoint_of(
      {tensor_of("m.weight_packed", DType::kU8, {1, 16}, std::vector<uint8_t>(16, 0x32)),
       tensor_of("m.weight_scale", DType::kU8, {1, 1}, std::vector<uint8_t>{128})});
  EXPECT_EQ(values_of(mxfp4->floats(c, "m", 1, 32))[1], 3);
}

TEST(BlockFloats, CompressedTensorsRefusesOthers) {
  for (auto [weights, problem] : std::initializer_list<std::pair<const char*, const char*>>{
           {R"("num_bits":6,"type":"float")", "floats of 6 bits"},
           {R"("num_bits":8,"type":"float","symmetric":false)", "zero points"},
           {R"("num_bits":8,"type":"float","strategy":"token")", "\"token\""},
           {R"("num_bits":4,"type":"float","strategy":"channel")", "\"channel\""},
           {R"("num_bits":4,"type":"float","strategy":"group")", "\"group_size\" is missing"},
           {R"("num_bits":4,"type":"float","strategy":"group","group_size":0)", "cannot be 0"},
           {R"("num_bits":8,"type":"float","strategy":"block","block_structure":[1])", "two sizes"},
           {R"("num_bits":8,"type":"complex")", "\"complex\""}})
    EXPECT_TRUE(fails_with(form_of(group("float-quantized", weights)), problem)) << weights;
  EXPECT_TRUE(fails_with(form_of(group("mxfp6-pack-quantized", R"("num_bits":8)")), "is not read"));
}

TEST(CompressedTensorsForm, ColumnsInAnOrderOfTheirOwn) {
  auto form = form_of(group("pack-quantized", R"("num_bits":4,"strategy":"group","group_size":2,)"
                                              R"("actorder":"group")"))
                  .value();
  std::vector<NamedTensor> tensors = {
      tensor_of("m.weight_packed", DType::kI32, {1, 1}, std::vector<uint32_t>{0xcba9}),
      f32("m.weight_scale", {1, 2}, {1, 10})};
  EXPECT_TRUE(fails_with(form->check(checkpoint_of(tensors), "m", 1, 4), "lacks weight_g_idx"));
  auto with = [&](std::vector<int32_t> order) {
    auto all = tensors;
    all.push_back(tensor_of("m.weight_g_idx", DType::kI32, {4}, order));
    return checkpoint_of(all);
  };
  Checkpoint c = with({1, 0, 1, 0});
  EXPECT_FALSE(form->scheme_of(c, "m"));
  EXPECT_EQ(form->name_of(c, "m"), "w4g2 act-order");
  ASSERT_TRUE(succeeds(form->check(c, "m", 1, 4)));
  EXPECT_EQ(values_of(form->floats(c, "m", 1, 4)), (std::vector<float>{10, 2, 30, 4}));
  for (const std::vector<int32_t>& plain : {std::vector<int32_t>{0, 0, 1, 1}, {-1, -1, -1, -1}})
    EXPECT_EQ(values_of(form->floats(with(plain), "m", 1, 4)), (std::vector<float>{1, 2, 30, 40}));
  EXPECT_TRUE(fails_with(form->check(with({0, 0, 1, 2}), "m", 1, 4), "value 2 at column 3"));
}

}  // namespace
}  // namespace nibble
