#include "export/torchscript/script.h"

#include <algorithm>
#include <cstring>
#include <unordered_map>

#include "base/json.h"

namespace nibble {
namespace {

using Ints = std::vector<int64_t>;

// Operations that are one call of the same inputs.
const std::unordered_map<std::string_view, const char*> kCalls = {
    {"Add", "add"},    {"Sub", "sub"},        {"Mul", "mul"},         {"Div", "div"},
    {"Pow", "pow"},    {"Sqrt", "sqrt"},      {"Max", "maximum"},     {"MatMul", "matmul"},
    {"Cos", "cos"},    {"Sin", "sin"},        {"Sigmoid", "sigmoid"}, {"Tanh", "tanh"},
    {"Relu", "relu"},  {"Clip", "clamp"},     {"Where", "where"},     {"And", "logical_and"},
    {"Greater", "gt"}, {"LessOrEqual", "le"},
};

// What a linear of integers calls. packed: values of `bits` bits in bytes, the low ones first.
constexpr const char* kHelpers = R"(  def unpack(self: __torch__.Decoder,
    packed: Tensor,
    bits: int,
    mask: int) -> Tensor:
    shifts = torch.to(torch.arange(0, 8, bits), 0)
    parts = torch.bitwise_right_shift(torch.unsqueeze(packed, -1), shifts)
    return torch.to(torch.flatten(torch.bitwise_and(parts, mask), -2), 6)
  def zeros(self: __torch__.Decoder,
    packed: Tensor,
    groups: int,
    bits: int,
    mask: int) -> Tensor:
    return torch.unsqueeze(torch.slice(self.unpack(packed, bits, mask), 1, 0, groups), -1)
  def linear(self: __torch__.Decoder,
    x: Tensor,
    packed: Tensor,
    scales: Tensor,
    zeros: Tensor,
    bits: int,
    mask: int) -> Tensor:
    codes = torch.sub(self.unpack(packed, bits, mask), zeros)
    return torch.linear(x, torch.flatten(torch.mul(codes, torch.unsqueeze(scales, -1)), 1))
)";

// torch.dtype as a number. Source: pytorch/pytorch, c10/core/ScalarType.h.
int torch_type(int64_t onnx) {
  switch (static_cast<OnnxType>(onnx)) {
    case OnnxType::kUint8:
      return 0;
    case OnnxType::kInt8:
      return 1;
    case OnnxType::kInt32:
      return 3;
    case OnnxType::kInt64:
      return 4;
    case OnnxType::kFloat16:
      return 5;
    case OnnxType::kBool:
      return 11;
    case OnnxType::kBfloat16:
      return 15;
    default:
      return 6;
  }
}

bool is_scalar(const OnnxConstant& c) {
  return c.dims.empty() && (c.type == OnnxType::kFloat || c.type == OnnxType::kInt64);
}

// A number with a point or an exponent, as floats are told from integers.
std::string real_text(double v) {
  std::string text = fmt::format("{:.17g}", v);
  return text.find_first_of(".en") == text.npos ? text + "." : text;
}

template <class T>
std::vector<T> values_of(const OnnxConstant& c) {
  std::vector<T> out(c.bytes.size() / sizeof(T));
  std::memcpy(out.data(), c.bytes.data(), out.size() * sizeof(T));
  return out;
}

// What operations of a graph use as numbers, not as tensors: shapes, axes, sizes.
constexpr std::pair<std::string_view, size_t> kNumbers[] = {
    {"Reshape", 1},    {"Split", 1}, {"Unsqueeze", 1}, {"Squeeze", 1},
    {"ReduceMean", 1}, {"TopK", 1},  {"ReduceSum", 1}, {"CumSum", 1},
};

class Script {
 public:
  explicit Script(const OnnxGraph& graph) : g_(graph) {
    for (const OnnxConstant& c : g_.constants()) constants_[c.name] = &c;
    for (const OnnxWeight& w : g_.weights()) weights_[w.name] = &w;
  }

  Result<std::string> run() {
    std::string past;
    for (const OnnxPort& p : g_.inputs()) {
      bool cache = p.name.starts_with("past_key_values");
      names_[p.name] = cache ? fmt::format("past[{}]", caches_++) : p.name;
      if (!cache) arguments_ += fmt::format("    {}: Tensor,\n", p.name);
    }
    for (const OnnxOperation& op : g_.operations()) NB_OK(operation(op));
    std::string logits, present;
    for (const OnnxPort& p : g_.outputs()) {
      if (p.name == "logits")
        logits = names_[p.name];
      else
        present += (present.empty() ? "" : ", ") + names_[p.name];
    }
    return head() + "  def forward(self: __torch__.Decoder,\n" + arguments_ +
           "    past: List[Tensor]) -> Tuple[Tensor, List[Tensor]]:\n" + body_ +
           fmt::format("    return ({}, [{}])\n", logits, present) + kHelpers;
  }

 private:
  std::string head() const {
    std::string names, types;
    auto add = [&](const std::string& name) {
      names += fmt::format("\"{}\", ", name);
      types += fmt::format("  __annotations__[\"{}\"] = Tensor\n", name);
    };
    for (const OnnxWeight& w : g_.weights()) add(w.name);
    for (const OnnxConstant* c : torch_constants(g_)) add(c->name);
    return "class Decoder(Module):\n  __parameters__ = []\n  __buffers__ = [" + names + "]\n" +
           types + "  training : bool\n  _is_full_backward_hook : Optional[bool]\n";
  }

  std::string value(const OnnxValue& name) const {
    if (auto at = names_.find(name); at != names_.end()) return at->second;
    if (auto at = constants_.find(name); at != constants_.end() && is_scalar(*at->second)) {
      const OnnxConstant& c = *at->second;
      return fmt::format("torch.tensor({})", c.type == OnnxType::kInt64
                                                 ? std::to_string(values_of<int64_t>(c)[0])
                                                 : real_text(values_of<float>(c)[0]));
    }
    return fmt::format("getattr(self, \"{}\")", name);
  }
  std::string input(const OnnxOperation& op, size_t i) const { return value(op.inputs[i]); }
  // A constant of integers among the inputs; empty where it is none.
  Ints ints(const OnnxOperation& op, size_t i) const {
    auto at = constants_.find(op.inputs[i]);
    return at == constants_.end() ? Ints{} : values_of<int64_t>(*at->second);
  }
  template <class T>
  static T attribute(const OnnxOperation& op, std::string_view name, T fallback = {}) {
    for (const OnnxAttribute& a : op.attributes)
      if (a.name == name) return std::get<T>(a.value);
    return fallback;
  }
  static int64_t axis(const OnnxOperation& op) { return attribute<int64_t>(op, "axis"); }

  // OUT, ... = `text`
  void set(const OnnxOperation& op, const std::string& text) {
    body_ += "    ";
    for (const OnnxValue& out : op.outputs) {
      std::string name = fmt::format("x{}", names_.size());
      body_ += name + (op.outputs.size() > 1 ? ", " : "");
      names_[out] = name;
    }
    body_ += " = " + text + "\n";
  }

  Status operation(const OnnxOperation& op) {
    auto call = kCalls.find(op.op);
    if (call != kCalls.end()) {
      std::string list;
      for (size_t i = 0; i < op.inputs.size(); ++i) list += (i > 0 ? ", " : "") + input(op, i);
      set(op, fmt::format("torch.{}({})", call->second, list));
      return {};
    }
    std::string text = shaping(op);
    if (text.empty()) text = picking(op);
    if (text.empty()) text = numeric(op);
    if (text.empty()) return fail("TorchScript has no line for {}", op.op);
    set(op, text);
    return {};
  }

  // Sizes and orders.
  std::string shaping(const OnnxOperation& op) {
    if (op.op == "Identity") return input(op, 0);
    if (op.op == "Transpose")
      return fmt::format("torch.permute({}, {})", input(op, 0), list(attribute<Ints>(op, "perm")));
    if (op.op == "Reshape")
      return fmt::format("torch.reshape({}, {})", input(op, 0), shape_text(op));
    if (op.op == "Split")
      return fmt::format("torch.split_with_sizes({}, {}, {})", input(op, 0), list(ints(op, 1)),
                         axis(op));
    if (op.op == "Concat") {
      std::string all;
      for (size_t i = 0; i < op.inputs.size(); ++i) all += (i > 0 ? ", " : "") + input(op, i);
      return fmt::format("torch.cat([{}], {})", all, axis(op));
    }
    if (op.op == "Unsqueeze" || op.op == "Squeeze") {
      bool more = op.op == "Unsqueeze";
      std::string text = input(op, 0);
      for (int64_t a : ints(op, 1))
        text = fmt::format("torch.{}({}, {})", more ? "unsqueeze" : "squeeze", text, a);
      return text;
    }
    if (op.op != "Shape") return "";
    shapes_[op.outputs[0]] = input(op, 0);
    if (op.attributes.empty()) return fmt::format("torch.tensor(torch.size({}))", input(op, 0));
    return fmt::format("torch.tensor([torch.size({}, {})])", input(op, 0),
                       attribute<int64_t>(op, "start"));
  }

  // 0 keeps a size; what Shape gave is taken as it is.
  std::string shape_text(const OnnxOperation& op) const {
    if (auto at = shapes_.find(op.inputs[1]); at != shapes_.end())
      return fmt::format("torch.size({})", at->second);
    std::string out;
    Ints dims = ints(op, 1);
    for (size_t i = 0; i < dims.size(); ++i) {
      out += i > 0 ? ", " : "";
      out += dims[i] == 0 ? fmt::format("torch.size({}, {})", input(op, 0), i)
                          : std::to_string(dims[i]);
    }
    return "[" + out + "]";
  }
  static std::string list(const Ints& values) {
    return fmt::format("[{}]", fmt::join(values, ", "));
  }

  // Rows and tokens by their numbers. Indices of GatherND and ScatterND are (count, 1).
  std::string picking(const OnnxOperation& op) const {
    if (op.op == "Gather" && axis(op) == 1)
      return fmt::format("torch.select({}, 1, {})", input(op, 0), ints(op, 1)[0]);
    if (op.op == "Gather")
      return fmt::format("torch.embedding({}, {})", input(op, 0), input(op, 1));
    if (op.op == "NonZero") return fmt::format("torch.t(torch.nonzero({}))", input(op, 0));
    if (op.op == "GatherND")
      return fmt::format("torch.index_select({}, 0, torch.squeeze({}, 1))", input(op, 0),
                         input(op, 1));
    if (op.op == "ScatterND")
      return fmt::format("torch.index_add({}, 0, torch.squeeze({}, 1), {})", input(op, 0),
                         input(op, 1), input(op, 2));
    if (op.op == "ScatterElements")
      return fmt::format("torch.scatter({}, {}, {}, {})", input(op, 0), axis(op), input(op, 1),
                         input(op, 2));
    if (op.op == "TopK")
      return fmt::format("torch.topk({}, {}, {})", input(op, 0), ints(op, 1)[0], axis(op));
    return "";
  }

  std::string numeric(const OnnxOperation& op) const {
    if (op.op == "Cast")
      return fmt::format("torch.to({}, {})", input(op, 0),
                         torch_type(attribute<int64_t>(op, "to")));
    if (op.op == "Softmax") return fmt::format("torch.softmax({}, {})", input(op, 0), axis(op));
    if (op.op == "ReduceMean" || op.op == "ReduceSum")
      return fmt::format("torch.{}({}, {}, True)", op.op == "ReduceMean" ? "mean" : "sum",
                         input(op, 0), list(ints(op, 1)));
    if (op.op == "CumSum") return fmt::format("torch.cumsum({}, {})", input(op, 0), ints(op, 1)[0]);
    if (op.op == "Gelu")
      return fmt::format("torch.gelu({}, approximate=\"{}\")", input(op, 0),
                         attribute<std::string>(op, "approximate"));
    if (op.op == "Range")
      return fmt::format("torch.arange(int({}), int({}))", input(op, 0), input(op, 1));
    if (op.op == "LayerNormalization")
      return fmt::format("torch.layer_norm({}, {}, {}, {}, {})", input(op, 0),
                         list(weights_.at(op.inputs[1])->dims), input(op, 1),
                         op.inputs.size() > 2 ? input(op, 2) : "None",
                         real_text(attribute<float>(op, "epsilon")));
    return op.op == "MatMulNBits" ? integers(op) : "";
  }

  std::string integers(const OnnxOperation& op) const {
    int64_t bits = attribute<int64_t>(op, "bits"), mask = (1 << bits) - 1;
    int64_t groups = attribute<int64_t>(op, "K") / attribute<int64_t>(op, "block_size");
    std::string zeros = fmt::format("torch.tensor({})", real_text(1 << (bits - 1)));
    if (op.inputs.size() > 3)
      zeros = fmt::format("self.zeros({}, {}, {}, {})", input(op, 3), groups, bits, mask);
    return fmt::format("self.linear({}, {}, {}, {}, {}, {})", input(op, 0), input(op, 1),
                       input(op, 2), zeros, bits, mask);
  }

  const OnnxGraph& g_;
  std::unordered_map<OnnxValue, const OnnxConstant*> constants_;
  std::unordered_map<OnnxValue, const OnnxWeight*> weights_;
  std::unordered_map<OnnxValue, std::string> names_;   // in the script
  std::unordered_map<OnnxValue, std::string> shapes_;  // of whose sizes Shape spoke
  std::string arguments_, body_;
  int64_t caches_ = 0;
};

}  // namespace

Result<std::string> torch_script(const OnnxGraph& graph) { return Script(graph).run(); }

std::vector<const OnnxConstant*> torch_constants(const OnnxGraph& graph) {
  std::set<OnnxValue> tensors;
  for (const OnnxOperation& op : graph.operations())
    for (size_t i = 0; i < op.inputs.size(); ++i)
      if (std::ranges::find(kNumbers, std::pair(std::string_view(op.op), i)) == std::end(kNumbers))
        tensors.insert(op.inputs[i]);
  std::vector<const OnnxConstant*> out;
  for (const OnnxConstant& c : graph.constants())
    if (!is_scalar(c) && tensors.contains(c.name)) out.push_back(&c);
  return out;
}

}  // namespace nibble
