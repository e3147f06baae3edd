// nibble_arm_product SCHEME N K M: one product of the chosen kernel table, for bench/arm_instructions
// to count.
#include <cstdlib>

#include "kernels/kernels.h"

int main(int argc, char** argv) {
  using namespace nibble;
  Result<Scheme> scheme = Scheme::parse(argc == 5 ? argv[1] : "");
  if (!scheme) return 2;
  int64_t n = std::atoll(argv[2]), k = std::atoll(argv[3]), m = std::atoll(argv[4]);
  QuantizedBuilder builder(*scheme, n, k);
  auto code = static_cast<uint8_t>(scheme->max_code());
  std::vector<uint8_t> codes(static_cast<size_t>(k), code);
  std::vector<Grid> grids(static_cast<size_t>(scheme->groups(k)), {1, scheme->symmetric_zero()});
  for (int64_t row = 0; row < n; ++row) builder.set_row(row, codes.data(), grids);
  auto weights = pack_matrix(builder.finish());
  std::vector<float> x(static_cast<size_t>(m * k), 1), y(static_cast<size_t>(m * n));
  auto rows = quantize_rows(x.data(), m, k, Activations::kInt8Block32);
  integer_matmul(*weights, *rows, nullptr, y.data(), n);
}
