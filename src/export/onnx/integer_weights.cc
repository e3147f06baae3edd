#include "export/onnx/integer_weights.h"

#include <atomic>
#include <cmath>
#include <cstring>

#include "base/checked.h"
#include "export/onnx/matrices.h"
#include "export/onnx/weight_bytes.h"

namespace nibble {
namespace {

using namespace onnx_names;

// write(rows, sink) with the matrix open.
template <class Write>
std::function<Status(const ByteSink&)> of_rows(const IntegerWeights& w, Write write) {
  return [w, write](const ByteSink& sink) -> Status {
    OnnxRows rows = NB_TRY(OnnxRows::open(w.model, w.m, w.form));
    NB_OK(write(w, rows, sink));
    rows.release();
    return {};
  };
}

uint8_t* bytes(std::byte* out) { return reinterpret_cast<uint8_t*>(out); }

// Values of `width` bits into whole bytes, the low bits first.
void pack_bytes(const uint8_t* values, int64_t count, int width, std::byte* out) {
  std::vector<std::byte> words(static_cast<size_t>(ceil_div(count * width, 32) * 4));
  pack_bits(values, count, width, words.data());
  std::memcpy(out, words.data(), static_cast<size_t>(ceil_div(count * width, 8)));
}

bool is_nibble(OnnxType type) { return type == OnnxType::kInt4 || type == OnnxType::kUint4; }

// What turns an unsigned code into the bits of a signed one.
uint8_t flip_of(OnnxType type) {
  return type == OnnxType::kInt8 ? 0x80 : type == OnnxType::kInt4 ? 8 : 0;
}

}  // namespace

OnnxWeight IntegerWeights::block_codes() const {
  int bits = form.layout.bits;
  return {m.module + kCodes,
          OnnxType::kUint8,
          {m.n, groups(), form.layout.group * bits / 8},
          of_rows(*this, [](const IntegerWeights& w, const OnnxRows& rows, const ByteSink& sink) {
            int64_t k = w.m.k;
            int width = w.form.layout.bits;
            auto fill = [&](int64_t r, std::byte* out) { rows.packed_row(r, out); };
            return write_rows(w.m.n, k * width / 8, fill, sink);
          })};
}

OnnxWeight IntegerWeights::block_zeros() const {
  int64_t row_bytes = ceil_div(groups() * form.layout.bits, 8);
  return {m.module + kZeros,
          OnnxType::kUint8,
          {m.n, row_bytes},
          of_rows(*this,
                  [row_bytes](const IntegerWeights& w, const OnnxRows& rows, const ByteSink& sink) {
                    auto fill = [&](int64_t r, std::byte* out) {
                      std::vector<uint8_t> zeros(static_cast<size_t>(w.groups()));
                      rows.row(r, nullptr, nullptr, zeros.data());
                      pack_bytes(zeros.data(), w.groups(), w.form.layout.bits, out);
                    };
                    return write_rows(w.m.n, row_bytes, fill, sink);
                  })};
}

OnnxWeight IntegerWeights::turned_codes(OnnxType type) const {
  return {
      m.module + kCodes,
      type,
      {m.k, m.n},
      of_rows(*this, [type](const IntegerWeights& w, const OnnxRows& rows, const ByteSink& sink) {
        auto fill = [&](int64_t r, std::byte* out) {
          rows.row(r, bytes(out), nullptr, nullptr);
          for (int64_t j = 0; j < w.m.k; ++j) bytes(out)[j] ^= flip_of(type);
        };
        return write_turned(w.m.n, w.m.k, 1, is_nibble(type), fill, sink);
      })};
}

OnnxWeight IntegerWeights::row_codes(const std::string& name, OnnxType type) const {
  int width = is_nibble(type) ? 4 : 8;
  return {name,
          type,
          {m.n, m.k},
          of_rows(*this, [=](const IntegerWeights& w, const OnnxRows& rows, const ByteSink& sink) {
            auto fill = [&](int64_t r, std::byte* out) {
              std::vector<uint8_t> codes(static_cast<size_t>(w.m.k));
              rows.row(r, codes.data(), nullptr, nullptr);
              for (uint8_t& c : codes) c ^= flip_of(type);
              pack_bytes(codes.data(), w.m.k, width, out);
            };
            return write_rows(w.m.n, w.m.k * width / 8, fill, sink);
          })};
}

std::vector<int64_t> IntegerWeights::grid_dims(bool turned) const {
  if (form.layout.group <= 0 && turned) return {m.n};
  return turned ? std::vector{groups(), m.n} : std::vector{m.n, groups()};
}

OnnxWeight IntegerWeights::scales(const std::string& name, bool turned, OnnxType type) const {
  DType stored = type == OnnxType::kFloat16 ? DType::kF16 : DType::kF32;
  return {
      name, type, grid_dims(turned),
      of_rows(*this,
              [=](const IntegerWeights& w, const OnnxRows& rows, const ByteSink& sink) -> Status {
                std::atomic<int64_t> bad = -1;
                int64_t size = dtype_size(stored);
                auto fill = [&](int64_t r, std::byte* out) {
                  std::vector<float> scales(static_cast<size_t>(w.groups()));
                  rows.row(r, nullptr, scales.data(), nullptr);
                  for (float s : scales)
                    if (!std::isfinite(s)) bad = r;
                  from_float(stored, scales.data(), w.groups(), out);
                };
                NB_OK(turned ? write_turned(w.m.n, w.groups(), size, false, fill, sink)
                             : write_rows(w.m.n, w.groups() * size, fill, sink));
                if (bad < 0) return {};
                return fail("{}: {}: row {} has values that are no finite numbers",
                            w.model.checkpoint().folder(), w.m.module, bad.load());
              })};
}

OnnxWeight IntegerWeights::zeros(const std::string& name, bool turned, OnnxType type) const {
  return {name, type, grid_dims(turned),
          of_rows(*this, [turned, type](const IntegerWeights& w, const OnnxRows& rows,
                                        const ByteSink& sink) {
            auto fill = [&](int64_t r, std::byte* out) {
              rows.row(r, nullptr, nullptr, bytes(out));
            };
            return turned ? write_turned(w.m.n, w.groups(), 1, is_nibble(type), fill, sink)
                          : write_rows(w.m.n, w.groups(), fill, sink);
          })};
}

}  // namespace nibble
