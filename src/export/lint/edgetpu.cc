// Coral's Edge TPU: which operators of a TFLite file its compiler would map, each with the reason.
// Sources: coral.ai/docs/edgetpu/{models-intro,compiler}: 8-bit integers alone, sizes that are
// constants, tensors of at most three dimensions that are not 1, and one partition: what follows
// the first operator that is not mapped runs on the CPU.
#include <algorithm>
#include <map>

#include "export/lint/lint.h"
#include "export/tflite/file.h"

namespace nibble {
namespace {

constexpr const char* kFile = "/model.tflite";
constexpr int64_t kMostDimensions = 3;

struct Known {
  TfliteOp op;
  const char* name;
  const char* refused;                   // null: the Edge TPU has it, in integers
  int64_t dimensions = kMostDimensions;  // of what it gives, at most, those of 1 not counted
};
constexpr const char* kAbsent = "the Edge TPU has no such operator";
constexpr Known kKnown[] = {
    {TfliteOp::kAdd, "ADD", nullptr},
    {TfliteOp::kConcatenation, "CONCATENATION", nullptr},
    {TfliteOp::kDequantize, "DEQUANTIZE", kAbsent},
    {TfliteOp::kFullyConnected, "FULLY_CONNECTED", nullptr, 1},
    {TfliteOp::kLogistic, "LOGISTIC", nullptr},
    {TfliteOp::kMul, "MUL", nullptr},
    {TfliteOp::kRelu, "RELU", nullptr},
    {TfliteOp::kReshape, "RESHAPE", nullptr},
    {TfliteOp::kSoftmax, "SOFTMAX", nullptr, 1},
    {TfliteOp::kTanh, "TANH", nullptr},
    {TfliteOp::kGather, "GATHER", kAbsent},
    {TfliteOp::kTranspose, "TRANSPOSE", nullptr},
    {TfliteOp::kMean, "MEAN", "the Edge TPU takes means over height and width alone"},
    {TfliteOp::kSub, "SUB", nullptr},
    {TfliteOp::kDiv, "DIV", kAbsent},
    {TfliteOp::kTopkV2, "TOPK_V2", kAbsent},
    {TfliteOp::kCast, "CAST", kAbsent},
    {TfliteOp::kMaximum, "MAXIMUM", nullptr},
    {TfliteOp::kMinimum, "MINIMUM", nullptr},
    {TfliteOp::kGreater, "GREATER", kAbsent},
    {TfliteOp::kLessEqual, "LESS_EQUAL", kAbsent},
    {TfliteOp::kSlice, "SLICE", nullptr},
    {TfliteOp::kSum, "SUM", nullptr},
    {TfliteOp::kSqrt, "SQRT", kAbsent},
    {TfliteOp::kRsqrt, "RSQRT", nullptr},
    {TfliteOp::kLogicalAnd, "LOGICAL_AND", kAbsent},
    {TfliteOp::kQuantize, "QUANTIZE", nullptr},
    {TfliteOp::kSelectV2, "SELECT_V2", kAbsent},
    {TfliteOp::kBatchMatmul, "BATCH_MATMUL", kAbsent},
    {TfliteOp::kGelu, "GELU", kAbsent},
    {TfliteOp::kDynamicUpdateSlice, "DYNAMIC_UPDATE_SLICE", kAbsent},
};

class Verdict {
 public:
  explicit Verdict(const TfliteFile::Subgraph& graph) : g_(graph) {}

  // A line for each kind of operator and reason, in the order of their first places.
  std::vector<std::string> run() {
    for (const TfliteFile::Operation& op : g_.operations) judge(op);
    std::vector<std::string> out;
    for (const auto& [key, seen] : refused_)
      lines_.push_back({seen.first, fmt::format("{}: {} {} not mapped: {}", g_.name, seen.count,
                                                key.first, key.second)});
    std::ranges::sort(lines_);
    for (auto& [place, line] : lines_) out.push_back(std::move(line));
    if (!out.empty())
      out.push_back(fmt::format(
          "{}: {} of {} operators could be mapped each by itself; of them {} come before the first "
          "that cannot, and the rest runs on the CPU",
          g_.name, mapped_, g_.operations.size(), leading_));
    return out;
  }

 private:
  const TfliteFile::Tensor& at(int32_t t) const { return g_.tensors[static_cast<size_t>(t)]; }

  static int64_t dimensions(const TfliteFile::Tensor& t) {
    return std::ranges::count_if(t.shown.dims, [](int64_t d) { return d != 1; });
  }

  // Why the operator is not mapped; empty: it is.
  std::string reason(const TfliteFile::Operation& op, const Known* known) const {
    if (!known) return "not in the list that nibble knows";
    if (known->refused) return known->refused;
    if (op.inputs.empty() || op.outputs.empty()) return "it has no operands";
    std::vector<int32_t> operands = op.inputs;
    operands.insert(operands.end(), op.outputs.begin(), op.outputs.end());
    for (int32_t t : operands)
      if (t >= 0)
        if (std::string why = of_tensor(op, at(t)); !why.empty()) return why;
    if (int64_t given = dimensions(at(op.outputs[0])); given > known->dimensions)
      return fmt::format("what it gives has {} dimensions, the Edge TPU's at most {}", given,
                         known->dimensions);
    if (known->op == TfliteOp::kFullyConnected && op.inputs.size() > 1 && op.inputs[1] >= 0 &&
        at(op.inputs[1]).bytes.empty())
      return "its weight is no constant";
    return {};
  }

  std::string of_tensor(const TfliteFile::Operation& op, const TfliteFile::Tensor& t) const {
    TfliteType type = t.shown.type;
    bool parameter = type == TfliteType::kInt32 && !t.bytes.empty();
    if (parameter) return {};
    if (type != TfliteType::kInt8 && type != TfliteType::kUint8)
      return fmt::format("it works on {}, and the Edge TPU on int8 and uint8 alone",
                         type_name(type));
    if (op.code == static_cast<int32_t>(TfliteOp::kFullyConnected) && t.shown.grid.block > 0)
      return "its weight has scales of blocks";
    if (dimensions(t) > kMostDimensions)
      return fmt::format("a tensor has {} dimensions, the Edge TPU at most {}", dimensions(t),
                         kMostDimensions);
    if (std::ranges::any_of(t.shown.dims, [](int64_t d) { return d < 1; }))
      return "a tensor has a size that varies";
    return {};
  }

  void judge(const TfliteFile::Operation& op) {
    const Known* known = std::ranges::find(
        kKnown, op.code, [](const Known& k) { return static_cast<int32_t>(k.op); });
    if (known == std::end(kKnown)) known = nullptr;
    std::string why = reason(op, known);
    if (why.empty()) {
      ++mapped_;
      leading_ += refused_.empty();
      return;
    }
    std::string name = known ? known->name : fmt::format("operator {}", op.code);
    auto [at, fresh] = refused_.try_emplace({name, why});
    if (fresh) at->second.first = refused_.size();
    ++at->second.count;
  }

  struct Seen {
    size_t first = 0;
    int64_t count = 0;
  };
  const TfliteFile::Subgraph& g_;
  std::map<std::pair<std::string, std::string>, Seen> refused_;  // by operator and reason
  std::vector<std::pair<size_t, std::string>> lines_;
  int64_t mapped_ = 0, leading_ = 0;
};

Result<std::vector<std::string>> problems(const std::string& folder) {
  TfliteFile file = NB_TRY(TfliteFile::open(folder + kFile));
  std::vector<std::string> out;
  for (const TfliteFile::Subgraph& g : file.subgraphs()) {
    std::vector<std::string> lines = Verdict(g).run();
    out.insert(out.end(), lines.begin(), lines.end());
  }
  return out;
}

}  // namespace

extern const LintTarget kLint_edgetpu = {
    "edgetpu", "Coral's Edge TPU, operator by operator, on TFLite folders", problems};

}  // namespace nibble
