#include "export/tflite/model.h"

#include <algorithm>

#include "base/checked.h"
#include "base/file.h"

namespace nibble {

using namespace tflite;

namespace {

constexpr int64_t kAlignment = 64;     // of buffers; the schema asks for 16
constexpr int kWidestShortCode = 127;  // what a file's old field for an operator's code holds

std::vector<int32_t> narrow(std::span<const int64_t> values) {
  return {values.begin(), values.end()};
}

template <class T>
void list(FlatTable& t, int slot, const std::vector<T>& values) {
  t.vector(slot, std::span<const T>(values));
}

FlatTable grid_table(const TfliteGrid& grid) {
  FlatTable out;
  if (grid.block == 0) {
    list(out, kScale, grid.scales);
    list(out, kZeroPoint, grid.zeros);
    out.scalar(kDimension, int32_t{0});
    return out;
  }
  FlatTable blocks;
  blocks.scalar(kBlockScales, grid.block_scales);
  blocks.scalar(kBlockZeros, int32_t{-1});
  blocks.scalar(kBlockSize, static_cast<int32_t>(grid.block));
  out.scalar(kDetailsType, kBlockwiseDetails);
  out.table(kDetails, std::move(blocks));
  return out;
}

FlatTable tensor_table(const TfliteTensor& t) {
  FlatTable out;
  list(out, kShape, narrow(t.dims));
  out.scalar(kType, static_cast<int8_t>(t.type));
  out.scalar(kBuffer, static_cast<uint32_t>(t.buffer));
  out.text(kTensorName, t.name);
  if (t.grid.block > 0 || !t.grid.scales.empty()) out.table(kQuantization, grid_table(t.grid));
  return out;
}

FlatTable subgraph_table(const TfliteSubgraph& g, const std::vector<TfliteOp>& codes) {
  FlatTable out;
  std::vector<FlatTable> tensors, operations;
  for (const TfliteTensor& t : g.tensors) tensors.push_back(tensor_table(t));
  for (const TfliteOperation& o : g.operations) {
    FlatTable& t = operations.emplace_back();
    t.scalar(kOpcode, static_cast<uint32_t>(std::ranges::find(codes, o.op) - codes.begin()));
    list(t, kOpInputs, o.inputs);
    list(t, kOpOutputs, o.outputs);
    if (o.options_type == 0) continue;
    t.scalar(kOptionsType, o.options_type);
    t.table(kOptions, o.options);
  }
  std::vector<int32_t> inputs, outputs;
  for (const auto& [name, tensor] : g.inputs) inputs.push_back(tensor);
  for (const auto& [name, tensor] : g.outputs) outputs.push_back(tensor);
  out.tables(kTensors, std::move(tensors));
  list(out, kInputs, inputs);
  list(out, kOutputs, outputs);
  out.tables(kOperators, std::move(operations));
  out.text(kSubgraphName, g.name);
  return out;
}

std::vector<FlatTable> maps(const std::vector<std::pair<std::string, int32_t>>& ports) {
  std::vector<FlatTable> out;
  for (const auto& [name, tensor] : ports) {
    FlatTable& t = out.emplace_back();
    t.text(kMapName, name);
    t.scalar(kMapTensor, static_cast<uint32_t>(tensor));
  }
  return out;
}

FlatTable code_table(TfliteOp op) {
  auto code = static_cast<int32_t>(op);
  FlatTable out;
  out.scalar(kShortCode, static_cast<int8_t>(std::min(code, kWidestShortCode)));
  out.scalar(kCodeVersion, int32_t{1});
  out.scalar(kCode, code);
  return out;
}

}  // namespace

size_t TfliteModel::constant(const std::string& bytes) {
  auto [at, fresh] = constants_.try_emplace(bytes, buffers_.size() + 1);
  if (fresh)
    buffers_.push_back(
        {"", OnnxType::kUint8, {static_cast<int64_t>(bytes.size())}, [bytes](const ByteSink& sink) {
           return sink(std::as_bytes(std::span(bytes)), nullptr);
         }});
  return at->second;
}

size_t TfliteModel::weight(const OnnxWeight& weight) {
  auto [at, fresh] = weights_.try_emplace(weight.name, buffers_.size() + 1);
  if (fresh) buffers_.push_back(weight);
  return at->second;
}

// behind: where each buffer begins behind the flatbuffer; empty: they are its blobs.
FlatTable TfliteModel::table(std::span<const int64_t> behind) const {
  std::vector<TfliteOp> codes;
  for (const TfliteSubgraph& g : subgraphs)
    for (const TfliteOperation& o : g.operations)
      if (std::ranges::find(codes, o.op) == codes.end()) codes.push_back(o.op);
  std::vector<FlatTable> code_tables, graphs, buffers(1), signatures;
  for (TfliteOp op : codes) code_tables.push_back(code_table(op));
  for (const TfliteSubgraph& g : subgraphs) {
    FlatTable& s = signatures.emplace_back();
    s.tables(kSignatureInputs, maps(g.inputs));
    s.tables(kSignatureOutputs, maps(g.outputs));
    s.text(kKey, g.name);
    s.scalar(kSubgraphIndex, static_cast<uint32_t>(graphs.size()));
    graphs.push_back(subgraph_table(g, codes));
  }
  for (size_t i = 0; i < buffers_.size(); ++i) {
    FlatTable& b = buffers.emplace_back();
    if (behind.empty()) {
      b.blob(kData, i);
    } else {
      b.scalar(kOffset, static_cast<uint64_t>(behind[i]));
      b.scalar(kSize, static_cast<uint64_t>(buffers_[i].bytes()));
    }
  }
  FlatTable out;
  out.scalar(kVersion, kTfliteVersion);
  out.tables(kOperatorCodes, std::move(code_tables));
  out.tables(kSubgraphs, std::move(graphs));
  out.text(kDescription, "nibble " NIBBLE_VERSION);
  out.tables(kBuffers, std::move(buffers));
  out.tables(kSignatures, std::move(signatures));
  return out;
}

Status TfliteModel::write(const std::string& path, int64_t most_inside) const {
  std::vector<int64_t> sizes;
  int64_t total = 0;
  for (const OnnxWeight& b : buffers_) {
    sizes.push_back(b.bytes());
    total += ceil_div(b.bytes(), kAlignment) * kAlignment;
  }
  bool inside = total < most_inside;
  std::vector<int64_t> behind(inside ? 0 : sizes.size(), 0);
  FlatBytes flat =
      NB_TRY(lay_flat(table(behind), kTfliteIdentifier, inside ? sizes : behind, kAlignment));
  if (!inside) {
    // Scalars have their place whatever they are, so the tables keep their size.
    int64_t at = static_cast<int64_t>(flat.head.size());
    for (size_t i = 0; i < sizes.size(); ++i) {
      behind[i] = ceil_div(at + int64_t{sizeof(uint32_t)}, kAlignment) * kAlignment;
      at = behind[i] + sizes[i];
    }
    flat.head = NB_TRY(lay_flat(table(behind), kTfliteIdentifier, {}, kAlignment)).head;
    flat.offsets = behind;
  }
  NB_OK(check_free_space(path, static_cast<int64_t>(flat.head.size()) + total));
  AtomicFile file = NB_TRY(AtomicFile::create(path));
  ByteSink sink = sink_of(file);
  NB_OK(file.write(std::as_bytes(std::span(flat.head))));
  for (size_t i = 0; i < buffers_.size(); ++i) {
    auto length = static_cast<uint32_t>(sizes[i]);
    std::vector<std::byte> gap(static_cast<size_t>(flat.offsets[i] - file.size()));
    std::memcpy(gap.data() + gap.size() - sizeof length, &length, sizeof length);
    NB_OK(file.write(gap));
    NB_OK(buffers_[i].write(sink));
    NB_CHECK(file.size() == flat.offsets[i] + sizes[i]);
  }
  return file.commit();
}

}  // namespace nibble
