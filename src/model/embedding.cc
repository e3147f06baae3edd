#include "model/embedding.h"

namespace nibble {
namespace {

// h += the row of each token's position.
void add_positions(const EmbeddingTail& tail, std::span<const Slice> slices,
                   std::vector<float>& h) {
  const TensorView& table = tail.positions;
  int64_t hidden = table.dim(1), row_bytes = hidden * dtype_size(table.dtype);
  thread_local std::vector<float> row;
  row.resize(static_cast<size_t>(hidden));
  float* at = h.data();
  for (const Slice& s : slices)
    for (int64_t t = 0; t < s.count; ++t, at += hidden) {
      int64_t p = s.position + t + tail.config.position_offset;
      to_float(table.dtype, table.bytes.data() + p * row_bytes, hidden, row.data());
      for (int64_t i = 0; i < hidden; ++i) at[i] += row[static_cast<size_t>(i)];
    }
}

}  // namespace

void Embedding::rows(std::span<const int32_t> ids, std::vector<float>& out) const {
  if (const auto* quantized = std::get_if<QuantizedMatrix>(&rows_)) {
    auto width = static_cast<size_t>(quantized->cols());
    out.resize(ids.size() * width);
    for (size_t t = 0; t < ids.size(); ++t) quantized->dequantize(ids[t], out.data() + t * width);
    return;
  }
  if (const auto* stored = std::get_if<std::shared_ptr<const RowSource>>(&rows_)) {
    auto width = static_cast<size_t>((*stored)->cols());
    out.resize(ids.size() * width);
    for (size_t t = 0; t < ids.size(); ++t) (*stored)->decode(ids[t], out.data() + t * width);
    return;
  }
  const auto& floats = std::get<TensorView>(rows_);
  int64_t width = floats.dim(1), row_bytes = width * dtype_size(floats.dtype);
  out.resize(ids.size() * static_cast<size_t>(width));
  for (size_t t = 0; t < ids.size(); ++t)
    to_float(floats.dtype, floats.bytes.data() + ids[t] * row_bytes, width,
             out.data() + t * static_cast<size_t>(width));
}

void Embedding::embed(std::span<const int32_t> ids, std::span<const Slice> slices,
                      std::vector<float>& h) const {
  rows(ids, h);
  if (!tail_) return;
  const DecoderConfig& c = tail_->config;
  auto count = static_cast<int64_t>(ids.size());
  if (auto scale = static_cast<float>(c.embedding_scale); scale != 1)
    for (float& v : h) v *= scale;
  if (tail_->project_in) {
    std::vector<float> narrow = std::move(h);
    h.resize(static_cast<size_t>(count * c.hidden));
    LinearInput in(narrow.data(), count, c.embedding_width);
    tail_->project_in->run(in, h.data(), c.hidden);
  }
  if (c.position_offset >= 0) add_positions(*tail_, slices, h);
  if (tail_->norm) norm_rows(c, tail_->norm, h.data(), count, h.data());
}

}  // namespace nibble
