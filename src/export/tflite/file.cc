#include "export/tflite/file.h"

#include <algorithm>

#include "base/json.h"

namespace nibble {

using namespace tflite;

namespace {

struct Type {
  TfliteType type;
  const char* name;
  OnnxType onnx;
};
constexpr Type kTypes[] = {
    {TfliteType::kFloat32, "float32", OnnxType::kFloat},
    {TfliteType::kFloat16, "float16", OnnxType::kFloat16},
    {TfliteType::kInt32, "int32", OnnxType::kInt32},
    {TfliteType::kUint8, "uint8", OnnxType::kUint8},
    {TfliteType::kInt64, "int64", OnnxType::kInt64},
    {TfliteType::kBool, "bool", OnnxType::kBool},
    {TfliteType::kInt8, "int8", OnnxType::kInt8},
    {TfliteType::kInt4, "int4", OnnxType::kInt4},
};

const Type* known(TfliteType type) {
  const Type* at = std::ranges::find(kTypes, type, &Type::type);
  return at == std::end(kTypes) ? nullptr : at;
}

}  // namespace

const char* type_name(TfliteType type) {
  const Type* t = known(type);
  return t ? t->name : "another type";
}

Result<TfliteFile> TfliteFile::open(const std::string& path) {
  TfliteFile out;
  out.map_ = NB_TRY(MappedFile::open(path));
  FlatView model = NB_TRY(FlatView::root(out.map_->bytes(), kTfliteIdentifier, path));
  if (NB_TRY(model.scalar(kVersion, 0u)) != kTfliteVersion)
    return fail("{}: is of another schema version than {}", path, kTfliteVersion);
  NB_OK(out.read_buffers(model));
  std::vector<int32_t> codes;
  for (const FlatView& v : NB_TRY(model.tables(kOperatorCodes))) {
    int32_t code = NB_TRY(v.scalar(kCode, int32_t{0}));
    codes.push_back(std::max<int32_t>(code, NB_TRY(v.scalar(kShortCode, int8_t{0}))));
  }
  for (const FlatView& v : NB_TRY(model.tables(kSubgraphs))) NB_OK(out.read_subgraph(v, codes));
  if (out.subgraphs_.empty()) return fail("{}: has no subgraph", path);
  const std::vector<Tensor>& tensors = out.subgraphs_[0].tensors;
  for (size_t i = 0; i < tensors.size(); ++i)
    if (!tensors[i].bytes.empty()) out.constants_.emplace(tensors[i].shown.name, i);
  return out;
}

Status TfliteFile::read_buffers(const FlatView& model) {
  std::span<const std::byte> all = map_->bytes();
  for (const FlatView& v : NB_TRY(model.tables(kBuffers))) {
    uint64_t offset = NB_TRY(v.scalar(kOffset, uint64_t{0}));
    uint64_t size = NB_TRY(v.scalar(kSize, uint64_t{0}));
    if (offset > all.size() || size > all.size() - offset)
      return fail("{}: a buffer lies outside the file", path());
    buffers_.push_back(offset > 0 ? all.subspan(offset, size) : NB_TRY(v.vector(kData, 1)));
  }
  return {};
}

Result<TfliteFile::Tensor> TfliteFile::read_tensor(const FlatView& view) const {
  Tensor out;
  TfliteTensor& t = out.shown;
  t.name = NB_TRY(view.text(kTensorName));
  std::vector<int32_t> dims = NB_TRY(view.values<int32_t>(kShape));
  t.dims.assign(dims.begin(), dims.end());
  t.type = static_cast<TfliteType>(NB_TRY(view.scalar(kType, int8_t{0})));
  t.buffer = NB_TRY(view.scalar(kBuffer, uint32_t{0}));
  if (t.buffer >= std::max<size_t>(buffers_.size(), 1))
    return fail("{}: {} is of a buffer that is not there", path(), in_quotes(t.name));
  if (t.buffer > 0) out.bytes = buffers_[t.buffer];
  if (auto q = NB_TRY(view.table(kQuantization))) {
    t.grid.scales = NB_TRY(q->values<float>(kScale));
    t.grid.zeros = NB_TRY(q->values<int64_t>(kZeroPoint));
    if (NB_TRY(q->scalar(kDetailsType, uint8_t{0})) == kBlockwiseDetails)
      if (auto blocks = NB_TRY(q->table(kDetails))) {
        t.grid.block = NB_TRY(blocks->scalar(kBlockSize, int32_t{0}));
        t.grid.block_scales = NB_TRY(blocks->scalar(kBlockScales, int32_t{-1}));
      }
  }
  const Type* type = known(t.type);
  if (type && !out.bytes.empty() &&
      onnx_bytes(type->onnx, t.dims) != static_cast<int64_t>(out.bytes.size()))
    return fail("{}: the bytes of {} disagree with its shape", path(), in_quotes(t.name));
  return out;
}

Status TfliteFile::read_subgraph(const FlatView& view, std::span<const int32_t> codes) {
  Subgraph out;
  out.name = NB_TRY(view.text(kSubgraphName));
  for (const FlatView& v : NB_TRY(view.tables(kTensors)))
    out.tensors.push_back(NB_TRY(read_tensor(v)));
  auto count = static_cast<int32_t>(out.tensors.size());
  auto inside = [&](const std::vector<int32_t>& list, int32_t least) {
    return std::ranges::all_of(list, [=](int32_t t) { return t >= least && t < count; });
  };
  for (const FlatView& v : NB_TRY(view.tables(kOperators))) {
    Operation op;
    uint32_t code = NB_TRY(v.scalar(kOpcode, uint32_t{0}));
    op.inputs = NB_TRY(v.values<int32_t>(kOpInputs));
    op.outputs = NB_TRY(v.values<int32_t>(kOpOutputs));
    if (code >= codes.size() || !inside(op.inputs, -1) || !inside(op.outputs, 0))
      return fail("{}: an operator names what is not there", path());
    op.code = codes[code];
    out.operations.push_back(std::move(op));
  }
  out.inputs = NB_TRY(view.values<int32_t>(kInputs));
  out.outputs = NB_TRY(view.values<int32_t>(kOutputs));
  bool named = inside(out.inputs, 0) && inside(out.outputs, 0);
  for (const Tensor& t : out.tensors)
    named &= t.shown.grid.block == 0 || inside({t.shown.grid.block_scales}, 0);
  if (!named) return fail("{}: a subgraph names tensors that are not there", path());
  subgraphs_.push_back(std::move(out));
  return {};
}

OnnxFile TfliteFile::weights() const {
  std::map<std::string, OnnxTensor> out;
  for (const Tensor& t : subgraphs_[0].tensors)
    if (const Type* type = known(t.shown.type); type && !t.bytes.empty())
      out[t.shown.name] = {type->onnx, t.shown.dims, t.bytes};
  return OnnxFile::of_weights(path(), std::move(out), map_);
}

Result<const TfliteFile::Tensor*> TfliteFile::constant(const std::string& name) const {
  auto at = constants_.find(name);
  if (at == constants_.end()) return fail("{}: has no weight {}", path(), in_quotes(name));
  return &subgraphs_[0].tensors[at->second];
}

}  // namespace nibble
