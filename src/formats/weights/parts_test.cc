#include "formats/weights/parts.h"

#include <gtest/gtest.h>

namespace nibble {
namespace {

template <class T>
void expect_transposed(int64_t rows, int64_t cols) {
  std::vector<T> a(static_cast<size_t>(rows * cols));
  for (size_t i = 0; i < a.size(); ++i) a[i] = static_cast<T>(i * 2654435761u);
  DType dtype = sizeof(T) == 2 ? DType::kF16 : DType::kI32;
  TensorView out = transposed(dtype, std::as_bytes(std::span(a)), rows, cols);
  ASSERT_EQ(out.bytes.size(), a.size() * sizeof(T));
  ASSERT_EQ(out.shape, (std::vector{cols, rows}));
  auto at = [&](int64_t i) {
    T v;
    std::memcpy(&v, out.bytes.data() + i * int64_t{sizeof(T)}, sizeof v);
    return v;
  };
  for (int64_t r = 0; r < rows; ++r)
    for (int64_t c = 0; c < cols; ++c)
      ASSERT_EQ(at(c * rows + r), a[static_cast<size_t>(r * cols + c)]) << r << ' ' << c;
}

TEST(Parts, TransposesTilesAndWhatIsLeft) {
  for (int64_t rows : {1, 15, 16, 33, 64, 100})
    for (int64_t cols : {1, 17, 32, 70}) {
      expect_transposed<uint16_t>(rows, cols);
      expect_transposed<uint32_t>(rows, cols);
    }
}

TEST(Parts, FindsTheValueThatIsNoNumber) {
  std::vector<float> values(3000, 1.f);
  EXPECT_TRUE(check_finite(own_floats(DType::kF16, {3000}, values), "m", ".scales"));
  for (float bad : {INFINITY, -INFINITY, NAN})
    for (size_t at : {size_t{0}, size_t{1023}, size_t{1024}, size_t{2999}}) {
      std::vector<float> now = values;
      now[at] = bad;
      Status s = check_finite(own_floats(DType::kF16, {3000}, now), "m", ".scales");
      ASSERT_FALSE(s) << bad << " at " << at;
      EXPECT_TRUE(s.error().message.starts_with("m: scales has the value")) << s.error().message;
    }
}

}  // namespace
}  // namespace nibble
