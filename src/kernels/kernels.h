// Integer matrix products on packed weights: the one interface between the runtime and the
// instruction sets.
//
// Meaning (every table gives these bits, reference/ is the definition). Activations: a row of k
// floats has one scale S, a block of 32 columns one integer multiplier m, a value one code a:
//   per token    S = absmax(row) / 127, m = 1
//   block of 32  S = absmax(row) / 127 / 512, m = clamp(ceil(absmax(block) / (127 S)), 1, 512)
//   static       S is given with the weights, m = 1
//   a = clamp(rint(x / (S m)), -127, 127), S = 1 where it would be zero; not a number counts as
//   nothing in absmax and becomes -127.
// So a block has its own scale S m, to 9 bits of the row's largest, and yet blocks add up as
// integers. Weights: a segment is up to 4 blocks of one group (where a group is not a multiple of 4
// blocks, the most that divide it). For each segment in ascending order
//   d = sum over its blocks of m * sum_k (u_k - zero) * a_k        exact in int32
//   acc = fma(float(d), scale_w, acc)
// y = acc * S (+ bias).
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/threads.h"
#include "kernels/float_ops.h"
#include "tensor/quantized.h"

namespace nibble {

enum class Activations : uint8_t { kFloat, kInt8Block32, kInt8Token, kInt8Static };

// Rows of int8 activations, shared by every product that reads the same input.
struct Int8Rows;

// Weights in the tile layout of one kernel table. Opaque outside kernels/.
class PackedMatrix {
 public:
  virtual ~PackedMatrix() = default;
  virtual int64_t rows() const = 0;
  virtual int64_t cols() const = 0;
  virtual int64_t bytes() const = 0;  // memory held, what one decode step reads
};

// Which table is in use, e.g. "avx2"; chosen from CPUID and XCR0 at first use, or forced by the
// environment variable NIBBLE_KERNELS. An unknown or unsupported name there is an error.
Result<std::string> kernel_table_name();
struct KernelTableState {
  std::string name, needs;
  bool runs_here;      // this CPU, and the system, have what it needs
  std::string chosen;  // why it is the one in use; empty where it is not
};
// Every table compiled in, best first.
std::vector<KernelTableState> kernel_table_states();
// The same in words, one line a table.
std::vector<std::string> describe_kernel_tables();

// The float work of the chosen table.
const FloatOps& float_ops();
// Null where the chosen table has none.
const Bf16Products* bf16_products();

// Multiply-accumulates of bytes that the chosen table's instructions do on registers alone: runs
// `rounds` rounds of them on the calling thread and returns how many they were, 0 where the table
// has no such loop. Timed, this is the limit of integer_matmul when nothing waits for memory.
int64_t multiply_registers(int64_t rounds);

// Whether integer kernels can run this scheme at this width: groups that are multiples of 32
// columns (a short last group too), per channel or per tensor.
bool has_integer_kernel(const Scheme& scheme, int64_t k);

// Packs for the chosen table, in parallel over rows.
std::unique_ptr<PackedMatrix> pack_matrix(const QuantizedMatrix& w);

// Quantizes x: (rows, k) for the chosen table. `mode` is one of the int8 ones; `scale` is
// kInt8Static's. The memory of `old`, rows that nobody else holds or null, is used again.
std::shared_ptr<Int8Rows> quantize_rows(const float* x, int64_t rows, int64_t k, Activations mode,
                                        float scale = 0, std::shared_ptr<Int8Rows> old = {});

// What follows a product, fused into it: called for outputs [first, last) of all rows as soon as
// they are in y, while they are in cache, on the thread that made them.
using Epilogue = InlineFunction<void(int64_t first, int64_t last), 64>;
// `own`, then `next` where there is one.
Epilogue followed_by(Epilogue own, Epilogue next);

// y: (rows, n), row stride ldy >= n. bias: (n) or null.
struct MatrixProduct {
  const PackedMatrix* w = nullptr;
  Int8Rows* x = nullptr;
  const float* bias = nullptr;
  float* y = nullptr;
  int64_t ldy = 0;
  Epilogue epilogue;
};
// The product cut into pieces that may run in any order and on any thread. What it points to must
// live until the last piece is done. Products of the same rows are cut on one thread.
Pieces integer_matmul_pieces(MatrixProduct product);
// What the pieces of a product of `rows` rows with w will read as a stream; nothing where there are
// so many rows that they do not.
Stretch integer_matmul_reads(const PackedMatrix& w, int64_t rows);
// All of it, parallel over n.
void integer_matmul(const PackedMatrix& w, Int8Rows& x, const float* bias, float* y, int64_t ldy);

}  // namespace nibble
