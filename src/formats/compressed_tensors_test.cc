#include "formats/compressed_tensors.h"

#include <algorithm>
#include <random>

#include "base/test_util.h"
#include "formats/safetensors.h"

namespace nibble {
namespace {

constexpr const char* kModule = "model.layers.0.mlp.up_proj";

// A matrix of random codes and grids.
QuantizedMatrix random_matrix(const Scheme& s, int64_t n, int64_t k) {
  std::mt19937 random(static_cast<uint32_t>(n * 1000 + k));
  auto pick = [&](int lo, int hi) {
    return lo + static_cast<int>(random() % static_cast<unsigned>(hi - lo + 1));
  };
  QuantizedBuilder builder(s, n, k);
  for (int64_t r = 0; r < n; ++r) {
    std::vector<uint8_t> codes(static_cast<size_t>(k));
    for (auto& c : codes) c = static_cast<uint8_t>(pick(s.min_code(), s.max_code()));
    std::vector<Grid> grids(static_cast<size_t>(s.group == Scheme::kTensor ? 1 : s.groups(k)));
    for (Grid& g : grids) {
      g.scale = round_scale(static_cast<float>(pick(1, 1000)) * 1e-4f, s.scale_type);
      if (s.symmetry == Symmetry::kFullRange && pick(0, 1)) g.scale = -g.scale;
      g.zero = s.asymmetric() ? pick(0, s.max_code()) : s.symmetric_zero();
    }
    builder.set_row(r, codes.data(), grids);
  }
  return builder.finish();
}

void expect_same(const QuantizedMatrix& a, const QuantizedMatrix& b) {
  ASSERT_EQ(a.rows(), b.rows());
  ASSERT_EQ(a.cols(), b.cols());
  ASSERT_EQ(a.groups(), b.groups());
  std::vector<uint8_t> codes_a(static_cast<size_t>(a.cols())), codes_b(codes_a);
  for (int64_t r = 0; r < a.rows(); ++r) {
    a.codes(r, codes_a.data());
    b.codes(r, codes_b.data());
    ASSERT_EQ(codes_a, codes_b) << "row " << r;
    for (int64_t g = 0; g < a.groups(); ++g) {
      ASSERT_EQ(a.grid(r, g).scale, b.grid(r, g).scale);
      ASSERT_EQ(a.grid(r, g).zero, b.grid(r, g).zero);
    }
  }
}

NamedTensor integers(const std::string& name, DType dtype, std::vector<int64_t> shape,
                     std::vector<int64_t> values) {
  std::vector<std::byte> bytes;
  for (int64_t v : values)
    for (int64_t i = 0; i < dtype_size(dtype); ++i)
      bytes.push_back(static_cast<std::byte>(v >> (8 * i) & 0xff));
  return {name, own_bytes(dtype, std::move(shape), std::move(bytes))};
}

class CompressedTensors : public testing::Test {
 protected:
  void SetUp() override { ASSERT_TRUE(succeeds(write_file(dir_ / "config.json", "{}"))); }

  Checkpoint save(std::vector<NamedTensor> tensors) {
    EXPECT_TRUE(succeeds(write_safetensors(dir_ / "model.safetensors", std::move(tensors), {})));
    return Checkpoint::open(dir_.path()).value();
  }
  Result<QuantizedMatrix> load(const Checkpoint& c, Scheme s, int64_t n, int64_t k) {
    s.scale_type = DType::kF64;  // to be filled in
    return from_compressed_tensors(c, kModule, s, n, k);
  }
  // The tensors of a matrix with one of them replaced (or taken away: no bytes, no shape).
  Result<QuantizedMatrix> load_with(const Scheme& s, int64_t n, int64_t k, NamedTensor other) {
    auto tensors = to_compressed_tensors(kModule, random_matrix(s, n, k));
    std::string name = std::string(kModule) + "." + other.name;
    std::erase_if(tensors, [&](const NamedTensor& t) { return t.name == name; });
    if (other.view.owner) tensors.push_back({name, other.view});
    return load(save(std::move(tensors)), s, n, k);
  }
  TempFolder dir_;
};

TEST_F(CompressedTensors, RoundTripEveryScheme) {
  for (int bits = 2; bits <= 8; ++bits)
    for (const char* group : {"", "t", "g32", "g50", "g128"})
      for (const char* tail : {"", "-asym", "-full"})
        for (int64_t k : {96, 83}) {
          Scheme s = Scheme::parse(fmt::format("w{}{}{}", bits, group, tail)).value();
          s.scale_type = k == 96 ? DType::kF16 : bits % 2 ? DType::kBF16 : DType::kF32;
          SCOPED_TRACE(s.name());
          QuantizedMatrix w = random_matrix(s, 11, k);
          auto tensors = to_compressed_tensors(kModule, w);
          int64_t bytes = 0;
          for (const auto& t : tensors)
            if (!t.name.ends_with("shape")) bytes += static_cast<int64_t>(t.view.bytes.size());
          EXPECT_EQ(w.stored_bytes(), bytes);
          auto back = load(save(std::move(tensors)), s, 11, k);
          ASSERT_TRUE(succeeds(back));
          EXPECT_EQ(back->scheme(), s);
          expect_same(w, *back);
          // And from the mapped file once more.
          auto again = load(save(to_compressed_tensors(kModule, *back)), s, 11, k);
          ASSERT_TRUE(succeeds(again));
          expect_same(w, *again);
        }
}

// The layout by hand, as github.com/vllm-project/compressed-tensors 0.20 packs it.
TEST_F(CompressedTensors, LayoutOfPackedTensors) {
  Scheme s = Scheme::parse("w4g2-asym").value();
  QuantizedBuilder builder(s, 2, 4);
  std::vector<uint8_t> row0 = {1, 2, 3, 4}, row1 = {15, 0, 8, 7};
  builder.set_row(0, row0.data(), std::vector<Grid>{{1.f, 5}, {2.f, 6}});
  builder.set_row(1, row1.data(), std::vector<Grid>{{3.f, 9}, {4.f, 10}});
  Checkpoint c = save(to_compressed_tensors("m", builder.finish()));
  ASSERT_EQ(c.tensors().size(), 4u);
  auto word = [&](const char* name, size_t i) {
    uint32_t w;
    std::memcpy(&w, c.get(name)->bytes.data() + 4 * i, 4);
    return w;
  };
  EXPECT_EQ(c.get("m.weight_packed")->shape, (std::vector<int64_t>{2, 1}));
  EXPECT_EQ(word("m.weight_packed", 0), 0x4321u);
  EXPECT_EQ(word("m.weight_packed", 1), 0x780fu);
  EXPECT_EQ(c.get("m.weight_scale")->shape, (std::vector<int64_t>{2, 2}));
  EXPECT_EQ(c.get("m.weight_zero_point")->shape, (std::vector<int64_t>{1, 2}));
  EXPECT_EQ(word("m.weight_zero_point", 0), 0x95u) << "the first group's, down the rows";
  EXPECT_EQ(word("m.weight_zero_point", 1), 0xa6u);
  EXPECT_EQ(c.get("m.weight_shape")->dtype, DType::kI64);
  EXPECT_EQ(word("m.weight_shape", 0), 2u);
  EXPECT_EQ(word("m.weight_shape", 2), 4u);
}

TEST_F(CompressedTensors, LayoutOfEightBits) {
  for (const char* name : {"w8-asym", "w8t-asym"}) {
    Scheme s = Scheme::parse(name).value();
    QuantizedBuilder builder(s, 2, 3);
    std::vector<uint8_t> row = {0, 128, 255};
    builder.set_row(0, row.data(), std::vector<Grid>{{1.f, 130}});
    builder.set_row(1, row.data(), std::vector<Grid>{{1.f, 130}});
    Checkpoint c = save(to_compressed_tensors("m", builder.finish()));
    ASSERT_EQ(c.tensors().size(), 3u);
    auto codes = c.get("m.weight").value();
    EXPECT_EQ(codes.dtype, DType::kI8);
    EXPECT_EQ(codes.shape, (std::vector<int64_t>{2, 3}));
    EXPECT_EQ(static_cast<int8_t>(codes.bytes[0]), -128);
    EXPECT_EQ(static_cast<int8_t>(codes.bytes[1]), 0);
    EXPECT_EQ(static_cast<int8_t>(codes.bytes[5]), 127);
    auto zero = c.get("m.weight_zero_point").value();
    EXPECT_EQ(zero.dtype, DType::kI8);
    EXPECT_EQ(zero.shape, (std::vector<int64_t>{2, 1})) << "one a row, for a tensor's too";
    EXPECT_EQ(static_cast<int8_t>(zero.bytes[1]), 2);
    std::vector<int64_t> scale_shape = {2, 1};
    if (s.group == Scheme::kTensor) scale_shape = {1};
    EXPECT_EQ(c.get("m.weight_scale")->shape, scale_shape);
  }
}

TEST_F(CompressedTensors, ReadsEightBitsPackedByOthers) {
  Scheme s = Scheme::parse("w8g16-asym").value();
  QuantizedMatrix w = random_matrix(s, 7, 30);
  std::string m = kModule;
  TensorView packed = w.code_view();
  packed.shape = {7, 8};
  std::vector<std::byte> zero_words(2 * 2 * 4);  // ceil(7 * 8 / 32) words for each of 2 groups
  for (size_t r = 0; r < 7; ++r)
    for (size_t g = 0; g < 2; ++g)
      zero_words[(r / 4 * 2 + g) * 4 + r % 4] = std::byte{w.zeros()[r * 2 + g]};
  auto c = save({{m + ".weight_packed", packed},
                 {m + ".weight_scale", w.scale_view()},
                 {m + ".weight_zero_point", own_bytes(DType::kI32, {2, 2}, zero_words)}});
  auto back = load(c, s, 7, 30);
  ASSERT_TRUE(succeeds(back));
  expect_same(w, *back);
}

TEST_F(CompressedTensors, ReadsOtherShapesOfScales) {
  Scheme s = Scheme::parse("w4").value();
  QuantizedMatrix w = random_matrix(s, 5, 16);
  TensorView flat = w.scale_view();
  flat.shape = {5};
  EXPECT_TRUE(succeeds(load_with(s, 5, 16, {"weight_scale", flat})));
  flat.shape = {1, 5};
  EXPECT_TRUE(fails_with(load_with(s, 5, 16, {"weight_scale", flat}), "should be [5, 1] for w4"));
  Scheme t = Scheme::parse("w4t-asym").value();
  for (std::vector<int64_t> shape : {std::vector<int64_t>{}, {1}, {1, 1}}) {
    std::vector<float> one = {0.5f};
    EXPECT_TRUE(
        succeeds(load_with(t, 5, 16, {"weight_scale", own_floats(DType::kF32, shape, one)})));
    NamedTensor zero = integers("weight_zero_point", DType::kI8, shape, {-8});
    auto back = load_with(t, 5, 16, zero);
    ASSERT_TRUE(succeeds(back)) << "the package's own shape";
    EXPECT_EQ(back->grid(3, 0).zero, 0);
  }
}

TEST_F(CompressedTensors, RefusesWhatDoesNotFitTheScheme) {
  Scheme s = Scheme::parse("w4g16").value();
  auto floats = [](std::vector<float> v, DType t = DType::kF32) {
    auto size = static_cast<int64_t>(v.size());
    return NamedTensor{"weight_scale", own_floats(t, {size, 1}, v)};
  };
  EXPECT_TRUE(fails_with(load_with(s, 3, 16, {"weight_packed", {}}), "has no tensor"));
  EXPECT_TRUE(fails_with(load_with(s, 3, 16, {"weight_scale", {}}), "has no tensor"));
  EXPECT_TRUE(succeeds(load_with(s, 3, 16, {"weight_shape", {}})));
  EXPECT_TRUE(fails_with(load_with(s, 3, 16, floats({1, 2})), "has shape [2, 1]"));
  EXPECT_TRUE(fails_with(load_with(s, 3, 16, floats({1, 0, 1})), "has the value 0 in row 1"));
  EXPECT_TRUE(fails_with(load_with(s, 3, 16, floats({1, 1, INFINITY})), "value inf in row 2"));
  EXPECT_TRUE(fails_with(load_with(s, 3, 16, floats({NAN, 1, 1}, DType::kBF16)), "value nan"));
  auto with = [&](const char* name, DType dtype, std::vector<int64_t> shape,
                  std::vector<int64_t> values) {
    return load_with(s, 3, 16, integers(name, dtype, std::move(shape), std::move(values)));
  };
  EXPECT_TRUE(fails_with(with("weight_scale", DType::kI32, {3, 1}, {1, 1, 1}), "should be F16"));
  EXPECT_TRUE(fails_with(with("weight_shape", DType::kI64, {2}, {3, 17}), "says [3, 17]"));
  EXPECT_TRUE(fails_with(with("weight_shape", DType::kI32, {2}, {3, 16}), "of dtype I32"));
  EXPECT_TRUE(fails_with(with("weight_shape", DType::kI64, {1}, {3}), "shape [1]"));
  EXPECT_TRUE(fails_with(with("weight_packed", DType::kI32, {3, 1}, {1, 1, 1}), "[3, 2]"));
  EXPECT_TRUE(fails_with(with("weight_packed", DType::kU32, {3, 2}, {1, 1, 1, 1, 1, 1}), "U32"));
  Checkpoint c = save(to_compressed_tensors(kModule, random_matrix(s, 3, 16)));
  for (auto [n, k] : std::initializer_list<std::pair<int64_t, int64_t>>{
           {0, 16}, {3, 0}, {-1, 16}, {3, int64_t{1} << 62}, {int64_t{1} << 62, 16}})
    EXPECT_TRUE(fails_with(load(c, s, n, k), "cannot have shape")) << n;
  EXPECT_FALSE(load(c, s, 3, 17));
  EXPECT_FALSE(load(c, s, 4, 16));
}

TEST_F(CompressedTensors, RefusesBadZeroPoints) {
  auto zero = [&](const char* scheme, DType dtype, std::vector<int64_t> shape,
                  std::vector<int64_t> values) {
    return load_with(Scheme::parse(scheme).value(), 3, 16,
                     integers("weight_zero_point", dtype, std::move(shape), std::move(values)));
  };
  EXPECT_TRUE(
      fails_with(load_with(Scheme::parse("w4-asym").value(), 3, 16, {"weight_zero_point", {}}),
                 "has no tensor"));
  EXPECT_TRUE(fails_with(zero("w4-asym", DType::kI32, {3, 1}, {1, 1, 1}), "[1, 1]"));
  EXPECT_TRUE(fails_with(zero("w4-asym", DType::kI64, {3, 1}, {1, 1, 1}), "should be I32"));
  EXPECT_TRUE(fails_with(zero("w8-asym", DType::kF32, {3, 1}, {1, 1, 1}), "should be I8"));
  EXPECT_TRUE(fails_with(zero("w8-asym", DType::kI8, {2, 1}, {1, 1}), "should be [3, 1]"));
  EXPECT_TRUE(succeeds(zero("w4-asym", DType::kI8, {3, 1}, {-8, 0, 7})));
  EXPECT_TRUE(fails_with(zero("w4-asym", DType::kI8, {3, 1}, {-8, 0, 8}), "has the value 8"));
  EXPECT_TRUE(fails_with(zero("w4t-asym", DType::kI8, {3, 1}, {1, 1, 2}), "differs between rows"));
  EXPECT_TRUE(fails_with(zero("w4t-asym", DType::kI8, {2, 1}, {1, 1}), "should be [3, 1]"));
}

}  // namespace
}  // namespace nibble
