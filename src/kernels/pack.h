// The one packer: from the canonical layout to the panels a kernel table declares.
#pragma once

#include <cstddef>
#include <memory>

#include "kernels/kernels.h"
#include "kernels/table.h"

namespace nibble {

// Memory that starts on a huge page where it is large enough to fill one, else on 128 bytes.
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

class PanelMatrix final : public PackedMatrix {
 public:
  PanelMatrix(const KernelTable& table, const QuantizedMatrix& w);

  int64_t rows() const override { return panels_.n; }
  int64_t cols() const override { return panels_.k; }
  int64_t bytes() const override { return buffer_.size(); }
  const Panels& panels() const { return panels_; }
  const KernelTable& table() const { return table_; }

 private:
  void pack_panel(const QuantizedMatrix& w, int64_t panel);

  const KernelTable& table_;
  Panels panels_;
  AlignedBuffer buffer_;
};

}  // namespace nibble
