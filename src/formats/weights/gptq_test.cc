#include <cmath>

#include "formats/weights/test_util.h"

namespace nibble {
namespace {

std::string config(int bits, int64_t group, const std::string& more = "") {
  return fmt::format(R"({{"quant_method":"gptq","bits":{},"group_size":{}{}}})", bits, group, more);
}
constexpr const char* kV2 = R"(,"checkpoint_format":"gptq_v2")";

// m: (8, 16) at 4 bits in groups of 8. Column r of qweight is row r: code of (r, j) is (r + j)
// % 16.
std::vector<NamedTensor> small(std::vector<uint32_t> qzeros = {0x76543210, 0x88888888}) {
  std::vector<uint32_t> qweight(16);
  for (uint32_t word = 0; word < 2; ++word)
    for (uint32_t r = 0; r < 8; ++r)
      for (uint32_t j = 0; j < 8; ++j)
        qweight[word * 8 + r] |= ((r + word * 8 + j) % 16) << (4 * j);
  std::vector<float> scales(16);
  for (size_t i = 0; i < 16; ++i) scales[i] = 1 + static_cast<float>(i);
  return {tensor_of("m.qweight", DType::kI32, {2, 8}, qweight),
          tensor_of("m.qzeros", DType::kI32, {2, 1}, qzeros),
          floats_of("m.scales", DType::kF16, {2, 8}, scales)};
}

TEST(Gptq, LayoutOfFourBits) {
  auto form = form_of(config(4, 8, kV2)).value();
  Checkpoint c = checkpoint_of(small());
  ASSERT_TRUE(form->holds(c, "m"));
  EXPECT_FALSE(form->holds(c, "n"));
  EXPECT_EQ(form->scheme_of(c, "m")->name(), "w4g8-asym");
  EXPECT_EQ(form->module_of("m.qweight"), "m");
  auto q = form->quantized(c, "m", 8, 16);
  ASSERT_TRUE(succeeds(q));
  for (int64_t r = 0; r < 8; ++r) {
    std::vector<uint8_t> codes(16);
    q->codes(r, codes.data());
    for (size_t j = 0; j < 16; ++j) EXPECT_EQ(codes[j], (static_cast<size_t>(r) + j) % 16);
    EXPECT_EQ(q->grid(r, 0).zero, r);
    EXPECT_EQ(q->grid(r, 1).zero, 8);
    EXPECT_EQ(q->grid(r, 0).scale, 1 + r);
    EXPECT_EQ(q->grid(r, 1).scale, 9 + r);
  }
  std::vector<float> w = values_of(form->floats(c, "m", 8, 16));
  EXPECT_EQ(w[0], 0);
  EXPECT_EQ(w[2 * 16 + 1], (3 - 2) * 3);
  EXPECT_EQ(w[2 * 16 + 8], (10 - 8) * 11);
}

// 32 values in three words: the 11th and the 22nd cross from one to the next.
TEST(Gptq, LayoutOfThreeBits) {
  std::vector<uint32_t> qweight(3 * 32), qzeros(3);
  for (uint32_t j = 0; j < 32; ++j)
    for (uint32_t b = 0; b < 3; ++b) {
      uint32_t bit = 3 * j + b;
      for (uint32_t r = 0; r < 32; ++r)
        qweight[bit / 32 * 32 + r] |= ((j + r) % 8 >> b & 1) << (bit % 32);
      qzeros[bit / 32] |= ((j + 7) % 8 >> b & 1) << (bit % 32);  // v1: j % 8 less one
    }
  Checkpoint c = checkpoint_of({tensor_of("m.qweight", DType::kI32, {3, 32}, qweight),
                                tensor_of("m.qzeros", DType::kI32, {1, 3}, qzeros),
                                floats_of("m.scales", DType::kF16, {1, 32}, std::vector(32, 1.f))});
  auto q = form_of(config(3, -1)).value()->quantized(c, "m", 32, 32);
  ASSERT_TRUE(succeeds(q));
  EXPECT_EQ(q->scheme().name(), "w3-asym");
  for (int64_t r = 0; r < 32; ++r) {
    std::vector<uint8_t> codes(32);
    q->codes(r, codes.data());
    for (size_t j = 0; j < 32; ++j) EXPECT_EQ(codes[j], (j + static_cast<size_t>(r)) % 8);
    EXPECT_EQ(q->grid(r, 0).zero, r % 8);
  }
}

// v1 subtracts 0x11111111 from the word: a zero point of 0 borrows from its neighbour.
TEST(Gptq, FirstVersionStoresZeroPointsLessOne) {
  for (uint32_t word : {0x76543210u, 0x88888888u, 0x00000000u, 0xf0f0f0f0u, 0x00000005u}) {
    Checkpoint c = checkpoint_of(small({word - 0x11111111u, 0x77777777u}));
    auto q = form_of(config(4, 8)).value()->quantized(c, "m", 8, 16);
    ASSERT_TRUE(succeeds(q));
    for (int64_t r = 0; r < 8; ++r) {
      EXPECT_EQ(q->grid(r, 0).zero, static_cast<int>(word >> (4 * r) & 15)) << word;
      EXPECT_EQ(q->grid(r, 1).zero, 8);
    }
    EXPECT_EQ(q->scheme().asymmetric(), word != 0x88888888u);
  }
}

// Columns of groups 1 and 0 in turn: no layout of ours holds that, the values are read all the
// same.
TEST(Gptq, ColumnsInAnOrderOfTheirOwn) {
  auto tensors = small();
  std::vector<int32_t> order(16), plain(16);
  for (size_t j = 0; j < 16; ++j) {
    order[j] = j % 2 == 0;
    plain[j] = j / 8;
  }
  tensors.push_back(tensor_of("m.g_idx", DType::kI32, {16}, order));
  auto form = form_of(config(4, 8, kV2)).value();
  Checkpoint c = checkpoint_of(tensors);
  EXPECT_FALSE(form->scheme_of(c, "m"));
  EXPECT_EQ(form->name_of(c, "m"), "w4g8-asym act-order");
  EXPECT_TRUE(succeeds(form->check(c, "m", 8, 16)));
  EXPECT_TRUE(fails_with(form->quantized(c, "m", 8, 16), "no integers"));
  std::vector<float> w = values_of(form->floats(c, "m", 8, 16));
  ASSERT_EQ(w.size(), 128u);
  for (int r = 0; r < 8; ++r)
    for (int j = 0; j < 16; ++j) {
      float expected = j % 2 == 0 ? static_cast<float>(((r + j) % 16 - 8) * (9 + r))
                                  : static_cast<float>(((r + j) % 16 - r) * (1 + r));
      EXPECT_EQ(w[static_cast<size_t>(r * 16 + j)], expected) << r << ' ' << j;
    }
  tensors.back() = tensor_of("m.g_idx", DType::kI32, {16}, plain);
  EXPECT_TRUE(form->scheme_of(checkpoint_of(tensors), "m"));
  order[3] = 2;
  tensors.back() = tensor_of("m.g_idx", DType::kI32, {16}, order);
  EXPECT_TRUE(fails_with(form->check(checkpoint_of(tensors), "m", 8, 16), "value 2 at column 3"));
  EXPECT_TRUE(fails_with(form->floats(checkpoint_of(tensors), "m", 8, 16), "value 2 at column 3"));
}

TEST(Gptq, DynamicRulesDecideByTheFirstMatch) {
  std::string rules =
      R"(,"dynamic":{"-:.*\\.skip":{},"+:a\\.m$":{"bits":8},"a\\.":{"group_size":-1}})";
  auto form = form_of(config(4, 8, rules + kV2)).value();
  std::vector<NamedTensor> tensors;
  for (const char* name : {"a.skip", "a.m", "a.n", "b"})
    for (NamedTensor t : small()) {
      t.name = name + t.name.substr(1);
      tensors.push_back(std::move(t));
    }
  Checkpoint c = checkpoint_of(tensors);
  EXPECT_FALSE(form->holds(c, "a.skip"));
  EXPECT_TRUE(form->holds(c, "a.m"));
  EXPECT_EQ(form->scheme_of(c, "b")->name(), "w4g8-asym");
  EXPECT_TRUE(fails_with(form->check(c, "a.m", 8, 16), "qzeros"));  // as of 8 bits
  EXPECT_TRUE(fails_with(form->check(c, "a.n", 8, 16), "has shape [2, 1], should be [1, 1]"));
}

TEST(Gptq, RefusesConfigsThatItCannotMean) {
  for (auto [q, problem] : std::initializer_list<std::pair<std::string, const char*>>{
           {config(5, 128), "bits is 5"},
           {config(4, 0), "group_size cannot be 0"},
           {config(4, 128, R"(,"checkpoint_format":"marlin")"), "\"marlin\" is not read"},
           {config(4, 128, R"(,"is_marlin_format":true)"), "\"marlin\" is not read"},
           {config(4, 128, R"(,"pack_dtype":"int64")"), "\"int64\" is not read"},
           {config(4, 128, R"(,"dynamic":[1])"), "dynamic should be an object"},
           {config(4, 128, R"(,"dynamic":{"(":{}})"), "is not a regular expression"},
           {config(4, 128, R"(,"dynamic":{"a":{"bits":9}})"), "bits is 9"},
           {R"({"quant_method":"gptq","bits":"four"})", "bits"}})
    EXPECT_TRUE(fails_with(form_of(q), problem)) << q;
}

TEST(Gptq, RefusesTensorsThatDoNotFit) {
  auto form = form_of(config(4, 8, kV2)).value();
  auto fails = [&](NamedTensor other, const char* problem) {
    Checkpoint c = checkpoint_with(small(), std::move(other));
    EXPECT_TRUE(fails_with(form->check(c, "m", 8, 16), problem));
    EXPECT_TRUE(fails_with(form->quantized(c, "m", 8, 16), problem));
    EXPECT_TRUE(fails_with(form->floats(c, "m", 8, 16), problem));
  };
  std::vector<uint32_t> words(64);
  fails(tensor_of("m.qweight", DType::kI32, {1, 8}, std::vector<uint32_t>(8)), "qzeros");
  fails(tensor_of("m.qweight", DType::kI32, {16}, std::vector<uint32_t>(16)), "cannot have shape");
  fails(tensor_of("m.qweight", DType::kI32, {2, 7}, std::vector<uint32_t>(14)),
        "cannot have shape");
  fails(tensor_of("m.qweight", DType::kI32, {0, 8}, std::vector<uint32_t>()), "cannot have shape");
  fails(tensor_of("m.qweight", DType::kU32, {2, 8}, std::vector<uint32_t>(16)), "dtype U32");
  fails({"m.qzeros", {}}, "no tensor \"m.qzeros\"");
  fails({"m.scales", {}}, "no tensor \"m.scales\"");
  fails(tensor_of("m.scales", DType::kI32, {2, 8}, std::vector<uint32_t>(16)), "dtype I32");
  fails(floats_of("m.scales", DType::kF16, {2, 8}, std::vector<float>(16, NAN)), "value nan");
  EXPECT_TRUE(fails_with(form->check(checkpoint_of(small()), "m", 8, 24), "should be (8, 24)"));
  EXPECT_TRUE(fails_with(form->check(checkpoint_of(small()), "m", 16, 16), "should be (16, 16)"));
}

// Before transformers read it from config.json, the config stood in a file beside it.
TEST(Gptq, ConfigBesideConfig) {
  TempFolder dir;
  ASSERT_TRUE(succeeds(write_file(dir / "quantize_config.json", R"({"bits":4,"group_size":8})")));
  auto form = weight_format_of(Json::object(), dir.path());
  ASSERT_TRUE(succeeds(form));
  ASSERT_NE(*form, nullptr);
  EXPECT_TRUE((*form)->holds(checkpoint_of(small()), "m"));
  ASSERT_TRUE(succeeds(write_file(dir / "quantize_config.json", R"({"bits":7})")));
  EXPECT_TRUE(fails_with(weight_format_of(Json::object(), dir.path()), "quantize_config.json"));
}

}  // namespace
}  // namespace nibble
