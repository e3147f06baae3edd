// A form of stored weights whose modules are all BlockFloats.
#pragma once

#include "formats/weights/block_floats.h"
#include "formats/weights/weight_format.h"

namespace nibble {

class BlockFloatFormat : public WeightFormat {
 public:
  std::optional<Scheme> scheme_of(const Checkpoint&, const std::string&) const override {
    return std::nullopt;
  }
  Status check(const Checkpoint& c, const std::string& module, int64_t n,
               int64_t k) const override {
    return check_block_floats(c, module, form_of(c, module), n, k);
  }
  Result<TensorView> floats(const Checkpoint& c, const std::string& module, int64_t n,
                            int64_t k) const override {
    return read_block_floats(c, module, form_of(c, module), n, k);
  }
  Result<int64_t> stored_bytes(const Checkpoint& c, const std::string& module, int64_t,
                               int64_t) const override {
    return block_floats_bytes(c, module, form_of(c, module));
  }

 protected:
  virtual BlockFloats form_of(const Checkpoint& checkpoint, const std::string& module) const = 0;
};

}  // namespace nibble
