#include "export/onnx/file.h"

#include <charconv>

#include "base/checked.h"
#include "base/json.h"
#include "base/protobuf.h"
#include "export/onnx/fields.h"
#include "tensor/dtype.h"

namespace nibble {

using namespace onnx_fields;

namespace {

constexpr const char* kModel = "model.onnx";
constexpr const char* kData = "model.onnx.data";
// Weights of some size begin at a page, so that runtimes can map them.
constexpr int64_t kPage = 4096, kPaged = 16 * kPage, kAlignment = 64;

std::vector<int64_t> offsets_of(std::span<const OnnxWeight> weights, int64_t& end) {
  std::vector<int64_t> out;
  end = 0;
  for (const OnnxWeight& w : weights) {
    int64_t step = w.bytes() >= kPaged ? kPage : kAlignment;
    out.push_back(ceil_div(end, step) * step);
    end = out.back() + w.bytes();
  }
  return out;
}

Status write_data(const std::string& path, std::span<const OnnxWeight> weights,
                  std::span<const int64_t> offsets, int64_t total) {
  NB_OK(check_free_space(path, total));
  AtomicFile file = NB_TRY(AtomicFile::create(path));
  ByteSink sink = sink_of(file);
  for (size_t i = 0; i < weights.size(); ++i) {
    std::vector<std::byte> gap(static_cast<size_t>(offsets[i] - file.size()));
    NB_OK(file.write(gap));
    NB_OK(weights[i].write(sink));
    NB_CHECK(file.size() == offsets[i] + weights[i].bytes());
  }
  return file.commit();
}

}  // namespace

Status write_onnx(const std::string& folder, const OnnxGraph& graph) {
  int64_t total = 0;
  std::vector<int64_t> offsets = offsets_of(graph.weights(), total);
  NB_OK(write_data(folder + "/" + kData, graph.weights(), offsets, total));
  return write_file(folder + "/" + kModel, graph.model(offsets, kData));
}

std::vector<float> OnnxTensor::floats() const {
  std::vector<float> out(bytes.size() / sizeof(float));
  to_float(DType::kF32, bytes.data(), static_cast<int64_t>(out.size()), out.data());
  return out;
}

Result<OnnxFile> OnnxFile::open(const std::string& folder) {
  OnnxFile out;
  out.path_ = folder + "/" + kModel;
  out.data_ = NB_TRY(MappedFile::open(folder + "/" + kData));
  out.model_ = std::make_shared<std::string>(NB_TRY(read_file(out.path_)));
  ProtoReader reader(*out.model_, out.path_);
  while (auto field = NB_TRY(reader.next()))
    if (field->number == kGraph) NB_OK(out.read_graph(NB_TRY(field->as_bytes(out.path_))));
  return out;
}

OnnxFile OnnxFile::of_weights(std::string what, std::map<std::string, OnnxTensor> weights,
                              std::shared_ptr<MappedFile> data) {
  OnnxFile out;
  out.path_ = std::move(what);
  for (const auto& [name, t] : weights) out.weight_bytes_ += static_cast<int64_t>(t.bytes.size());
  out.tensors_ = std::move(weights);
  out.data_ = std::move(data);
  return out;
}

Status OnnxFile::read_graph(std::string_view bytes) {
  ProtoReader reader(bytes, path_);
  while (auto field = NB_TRY(reader.next())) {
    if (field->number == kNode) NB_OK(read_node(NB_TRY(field->as_bytes(path_))));
    if (field->number == kInitializer) NB_OK(read_tensor(NB_TRY(field->as_bytes(path_))));
    if (field->number == kInput) NB_OK(read_input(NB_TRY(field->as_bytes(path_))));
  }
  return {};
}

Status OnnxFile::read_node(std::string_view bytes) {
  OnnxNode node;
  ProtoReader reader(bytes, path_);
  while (auto field = NB_TRY(reader.next())) {
    if (field->type != ProtoField::Type::kBytes) continue;
    std::string text(field->bytes);
    if (field->number == kNodeInput) node.inputs.push_back(text);
    if (field->number == kNodeOutput) node.outputs.push_back(text);
    if (field->number == kNodeName) node.name = text;
    if (field->number == kOpType) node.op = text;
    if (field->number == kDomain) node.domain = text;
  }
  nodes_.push_back(std::move(node));
  return {};
}

// ValueInfoProto: a dimension is a number (1) or a name (2) four messages down.
Status OnnxFile::read_input(std::string_view bytes) {
  std::string name;
  bool dynamic = false;
  auto walk = [&](auto& self, std::string_view message, size_t depth) -> Status {
    constexpr int64_t kWay[] = {2, 1, 2, 1};  // type, tensor_type, shape, dim
    ProtoReader reader(message, path_);
    bool sized = false;
    while (auto field = NB_TRY(reader.next())) {
      if (depth == 0 && field->number == 1) name = NB_TRY(field->as_bytes(path_));
      sized |= depth == std::size(kWay) && field->number == 1;
      if (depth < std::size(kWay) && field->number == kWay[depth])
        NB_OK(self(self, NB_TRY(field->as_bytes(path_)), depth + 1));
    }
    dynamic |= depth == std::size(kWay) && !sized;
    return {};
  };
  NB_OK(walk(walk, bytes, 0));
  if (dynamic) dynamic_inputs_.push_back(std::move(name));
  return {};
}

Status OnnxFile::read_tensor(std::string_view bytes) {
  OnnxTensor t;
  std::string name;
  std::map<std::string, std::string> entries;
  ProtoReader reader(bytes, path_);
  while (auto field = NB_TRY(reader.next())) {
    if (field->number == kDims) t.dims.push_back(NB_TRY(field->as_int(path_)));
    if (field->number == kDataType) t.type = static_cast<OnnxType>(NB_TRY(field->as_int(path_)));
    if (field->number == kTensorName) name = NB_TRY(field->as_bytes(path_));
    if (field->number == kRawData)
      t.bytes = std::as_bytes(std::span(NB_TRY(field->as_bytes(path_))));
    if (field->number != kExternal) continue;
    std::string key, value;
    ProtoReader entry(NB_TRY(field->as_bytes(path_)), path_);
    while (auto part = NB_TRY(entry.next())) {
      if (part->number == kKey) key = NB_TRY(part->as_bytes(path_));
      if (part->number == kValue) value = NB_TRY(part->as_bytes(path_));
    }
    entries[key] = value;
  }
  if (!entries.empty()) {
    t.bytes = NB_TRY(external(std::move(entries), name));
    weight_bytes_ += static_cast<int64_t>(t.bytes.size());
  }
  if (onnx_bytes(t.type, t.dims) != static_cast<int64_t>(t.bytes.size()))
    return fail("{}: the bytes of {} disagree with its shape", path_, in_quotes(name));
  tensors_[name] = std::move(t);
  return {};
}

Result<std::span<const std::byte>> OnnxFile::external(std::map<std::string, std::string> entries,
                                                      const std::string& name) const {
  auto number = [&](const char* key) {
    const std::string& text = entries[key];
    int64_t value = -1;
    std::from_chars(text.data(), text.data() + text.size(), value);
    return value;
  };
  int64_t offset = number("offset"), length = number("length");
  std::optional<int64_t> end = checked_add(offset, length);
  if (entries["location"] != kData || !end || *end > static_cast<int64_t>(data_->bytes().size()))
    return fail("{}: {} lies outside {}", path_, in_quotes(name), kData);
  return data_->bytes().subspan(static_cast<size_t>(offset), static_cast<size_t>(length));
}

void OnnxFile::release(const OnnxTensor& tensor) const {
  std::span<const std::byte> all = data_->bytes();
  if (std::less_equal{}(all.data(), tensor.bytes.data()) &&
      std::less{}(tensor.bytes.data(), all.data() + all.size()))
    data_->release(tensor.bytes);
}

Result<OnnxTensor> OnnxFile::get(const std::string& name) const {
  auto at = tensors_.find(name);
  if (at == tensors_.end()) return fail("{}: has no weight {}", path_, in_quotes(name));
  return at->second;
}

}  // namespace nibble
