#include "export/tflite/model.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>

#include "base/test_util.h"
#include "export/onnx/weight_bytes.h"
#include "export/tflite/file.h"

namespace nibble {
namespace {

// Two subgraphs that add one weight and one constant.
TfliteModel example() {
  TfliteModel model;
  for (const char* name : {"prefill", "decode"}) {
    TfliteSubgraph& g = model.subgraphs.emplace_back();
    g.name = name;
    size_t weight = model.weight(float_weight("weight", {3}, {1, 2, 3}));
    size_t constant = model.constant(std::string(4, '\0'));
    g.tensors = {{"x", TfliteType::kFloat32, {3}, 0, {}},
                 {"weight", TfliteType::kFloat32, {3}, weight, {}},
                 {"constant", TfliteType::kInt32, {}, constant, {}},
                 {"y", TfliteType::kFloat32, {3}, 0, {}}};
    g.operations.push_back({TfliteOp::kAdd, {0, 1, -1}, {3}, 0, {}});
    g.inputs = {{"x", 0}};
    g.outputs = {{"y", 3}};
  }
  return model;
}

// Beyond 2 GB weights lie behind the flatbuffer; where they lie says nothing else of the model.
TEST(TfliteModel, HoldsWeightsInsideOrBehind) {
  TempFolder folder;
  for (int64_t inside : {TfliteModel::kInside, int64_t{0}}) {
    std::string path = folder / "model.tflite";
    ASSERT_TRUE(example().write(path, inside));
    TfliteFile file = *TfliteFile::open(path);
    ASSERT_EQ(file.subgraphs().size(), 2u);
    const TfliteFile::Subgraph &first = file.subgraphs()[0], &second = file.subgraphs()[1];
    EXPECT_EQ(first.tensors[1].bytes.data(), second.tensors[1].bytes.data());
    EXPECT_EQ(first.tensors[2].bytes.size(), 4u);
    const std::array<float, 3> wanted = {1, 2, 3};
    EXPECT_TRUE(std::ranges::equal(first.tensors[1].bytes, std::as_bytes(std::span(wanted))));
    EXPECT_EQ(second.name, "decode");
    EXPECT_EQ(second.operations[0].inputs, (std::vector{0, 1, -1}));
    EXPECT_TRUE(first.tensors[0].bytes.empty());
  }
}

}  // namespace
}  // namespace nibble
