// The one packer: from the canonical layout to the panels a kernel table declares.
#pragma once

#include <cstddef>
#include <memory>

#include "kernels/kernels.h"
#include "kernels/table.h"

namespace nibble {

// Memory on 128 bytes, for scratch.
class AlignedBuffer {
 public:
  AlignedBuffer() = default;
  explicit AlignedBuffer(int64_t bytes);
  uint8_t* data() const { return data_.get(); }
  int64_t size() const { return size_; }

 private:
  struct Free {
    void operator()(uint8_t* p) const;
  };
  std::unique_ptr<uint8_t[], Free> data_;
  int64_t size_ = 0;
};

// Memory on 128 bytes for packed weights, cut from large pieces on huge pages: a matrix of 2 bits
// is smaller than one huge page, and on small ones address translation costs a decode step dearly.
// A piece goes back when the last of its parts does.
std::shared_ptr<uint8_t> take_packed_memory(int64_t bytes);

class PanelMatrix final : public PackedMatrix {
 public:
  PanelMatrix(const KernelTable& table, const QuantizedMatrix& w);
  // Of `packed`, packed_size bytes that an equal matrix was packed to.
  PanelMatrix(const KernelTable& table, const QuantizedMatrix& w, std::shared_ptr<uint8_t> packed);
  static int64_t packed_size(const KernelTable& table, const QuantizedMatrix& w);

  int64_t rows() const override { return panels_.n; }
  int64_t cols() const override { return panels_.k; }
  int64_t bytes() const override { return bytes_; }
  const Panels& panels() const { return panels_; }
  std::span<const std::byte> packed() const {
    return std::as_bytes(std::span(memory_.get(), static_cast<size_t>(bytes_)));
  }
  const KernelTable& table() const { return table_; }

 private:
  void pack_panel(const QuantizedMatrix& w, int64_t panel);

  const KernelTable& table_;
  Panels panels_;
  int64_t bytes_;
  std::shared_ptr<uint8_t> memory_;
};

}  // namespace nibble
