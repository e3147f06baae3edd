#include "export/lint/lint.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "base/test_util.h"
#include "export/onnx/file.h"
#include "export/onnx/weight_bytes.h"
#include "export/tflite/model.h"

namespace nibble {
namespace {

// Operators without operands: nibble writes none, and a file may hold them.
TEST(Lint, SurvivesOperatorsWithoutOperands) {
  TempFolder folder;
  OnnxGraph graph;
  graph.weight(float_weight("weight", {1}, {1}));
  for (const char* op : {"DequantizeLinear", "QuantizeLinear", "MatMul"}) {
    graph.node(op, {});
    graph.node(op, {"weight"});
  }
  ASSERT_TRUE(succeeds(write_onnx(folder.path(), graph)));
  TfliteModel model;
  TfliteSubgraph& g = model.subgraphs.emplace_back();
  g.name = "decode";
  for (TfliteOp op : {TfliteOp::kAdd, TfliteOp::kFullyConnected, TfliteOp::kMean})
    g.operations.push_back({op, {}, {}, 0, {}});
  ASSERT_TRUE(succeeds(model.write(folder / "model.tflite")));
  for (const LintTarget* target :
       {&kLint_edgetpu, &kLint_hexagon, &kLint_myriad_x, &kLint_tensorrt})
    EXPECT_TRUE(succeeds(target->problems(folder.path()))) << target->name;
  std::vector<std::string> found = *kLint_hexagon.problems(folder.path());
  EXPECT_EQ(std::ranges::count(found, "/DequantizeLinear: it has no operands"), 1);
  EXPECT_EQ(std::ranges::count(found, "/DequantizeLinear_1: its scale is no constant"), 1);
}

}  // namespace
}  // namespace nibble
