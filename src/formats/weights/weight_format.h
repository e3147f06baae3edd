// How a checkpoint stores the weights of its linears where it does not store plain floats: one
// class a form (a file here, a line in weight_formats.inc), chosen by quantization_config.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "base/json.h"
#include "formats/checkpoint.h"
#include "tensor/linear_grids.h"
#include "tensor/quantized.h"
#include "tensor/row_source.h"

namespace nibble {

// A module is a linear's name without ".weight"; its shape (n, k) is outputs, inputs.
class WeightFormat {
 public:
  virtual ~WeightFormat() = default;
  // Whether the checkpoint stores the module in this form; one that quantization_config means but
  // whose weight is a plain float was left out by the one who wrote the folder.
  virtual bool holds(const Checkpoint& checkpoint, const std::string& module) const = 0;
  // Of a module that it holds: whether anything but a float type is stored. (A float matrix may be
  // held for the order of its rows.)
  virtual bool quantizes(const Checkpoint&, const std::string&) const { return true; }
  // What its own file format calls the type of the stored elements, for people; empty where the
  // tensors' dtypes say it.
  virtual std::string type_name(const Checkpoint&, const std::string&) const { return {}; }
  // Of a module that it holds: whether what wrote it leaves the module's inputs floats where it
  // rounds others.
  virtual bool keeps_float_inputs(const Checkpoint&, const std::string&) const { return false; }
  // Of a module that it holds: the integers between which what wrote it multiplies, where their
  // ranges are fixed; and the bias that is added there, where it is not the checkpoint's.
  virtual std::optional<LinearGrids> grids(const Checkpoint&, const std::string&) const {
    return {};
  }
  virtual Result<std::optional<std::vector<float>>> bias(const Checkpoint&,
                                                         const std::string&) const {
    return std::nullopt;
  }
  // Of a module that it holds: the scheme where every value is (code - zero) * scale; none where
  // the values lie on another grid, so that only floats() reads it. scale_type may still be open.
  virtual std::optional<Scheme> scheme_of(const Checkpoint& checkpoint,
                                          const std::string& module) const = 0;
  // What the form is called to the user: the scheme, or for other grids "nf4", "fp8", ...
  virtual std::string name_of(const Checkpoint& checkpoint, const std::string& module) const;
  // Dtypes, sizes and values that reading would refuse, where that costs less than reading.
  virtual Status check(const Checkpoint& checkpoint, const std::string& module, int64_t n,
                       int64_t k) const = 0;
  // The integers as stored, of stored_scheme. An error where that is none.
  virtual Result<QuantizedMatrix> quantized(const Checkpoint& checkpoint, const std::string& module,
                                            int64_t n, int64_t k) const;
  // The values, (n, k), of float_type. Here: quantized() spread out.
  virtual Result<TensorView> floats(const Checkpoint& checkpoint, const std::string& module,
                                    int64_t n, int64_t k) const;
  // The same row by row, for a form whose floats are much larger than what it stores; null here,
  // for the others.
  virtual std::shared_ptr<const RowSource> rows(const Checkpoint&, const std::string&) const {
    return nullptr;
  }
  // A type that holds each value exactly.
  virtual DType float_type(const Checkpoint& checkpoint, const std::string& module) const;
  // The module that a tensor would belong to as one of the form's parts: the name before ".weight",
  // else before the last dot.
  virtual std::string_view module_of(std::string_view tensor) const;
  // Bytes of the module's weight in the file, codes and grids: of the parts that are there.
  virtual Result<int64_t> stored_bytes(const Checkpoint& checkpoint, const std::string& module,
                                       int64_t n, int64_t k) const = 0;
  // scheme_of, and where that is none, ggml's blocks (Scheme::blocks) where the module lies in
  // such: codes and grids that are copied and compared as they are.
  virtual std::optional<Scheme> stored_scheme(const Checkpoint& checkpoint,
                                              const std::string& module) const {
    return scheme_of(checkpoint, module);
  }
};

// The form that the folder's config.json names in quantization_config, or where that has none, the
// file that older programs wrote beside it: quantize_config.json (GPTQ), quant_config.json (AWQ),
// hf_quant_config.json (ModelOpt). Null where there is neither. Refuses a quant_method that is not
// in weight_formats.inc by name.
Result<std::unique_ptr<WeightFormat>> weight_format_of(const Json& config,
                                                       const std::string& folder);

}  // namespace nibble
