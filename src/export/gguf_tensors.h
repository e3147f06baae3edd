// A model's tensors as llama.cpp names, orders and stores them.
#pragma once

#include <set>

#include "export/export.h"
#include "export/gguf_architecture.h"
#include "model/gguf/mix.h"
#include "model/gguf/row_order.h"

namespace nibble {

// A tensor to write: matrices of the model (of a mixture of experts all of one kind, one after
// another), or floats that are made here.
struct GgufTensorPlan {
  std::string name;
  const GgmlType* type = nullptr;
  std::vector<int64_t> shape;        // outermost first
  std::vector<std::string> modules;  // empty: `values`
  int64_t n = 0, k = 0;              // of each module's matrix
  RowOrder order;
  std::vector<float> values;
  bool linear = false;  // of a block
};

struct GgufTensors {
  std::vector<GgufTensorPlan> tensors;
  bool exact = true;           // no matrix is rounded anew
  std::set<std::string> open;  // as ExportPlan's
  int64_t rounded = 0;         // linears of blocks that are
  int64_t fallbacks = 0;       // matrices whose rows the wanted type's blocks do not divide
  std::string type_names;      // of the blocks' linears: "Q4_0", "Q4_0 and Q8_0"
};

// `mix`: what matrices become; null: of each the smallest that keeps its integers, floats as they
// are. Vectors, routers and positions are float32 always. Without `values` the type that a matrix's
// scheme promises to fit (its zero points may allow a smaller one).
Result<GgufTensors> plan_gguf_tensors(const Weights& model, const GgufArchitecture& a,
                                      const GgufMix* mix, bool values);

// Fills the rows of `t` when they are written.
PendingGgufTensor pending_gguf(const Weights& model, const GgufTensorPlan& t);

}  // namespace nibble
