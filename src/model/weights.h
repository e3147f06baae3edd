// A checkpoint seen as a decoder's weights: names become roles, shapes are checked, and a linear
// comes back ready to run whether it is stored as floats or quantized.
#pragma once

#include <memory>
#include <set>
#include <vector>

#include "formats/checkpoint.h"
#include "formats/safetensors.h"
#include "formats/weights/weight_format.h"
#include "model/config.h"
#include "model/embedding.h"
#include "model/head.h"
#include "model/linear.h"
#include "model/lora.h"
#include "model/roles.h"

namespace nibble {

class Weights {
 public:
  // Opens a model folder or a GGUF file: config, names and shapes of every tensor that the decoder
  // needs are checked here, so that loading cannot fail half way for a lying file. `lora`: the
  // folder of an adapter, or empty; what it changes is seen merged, as floats, by all that reads
  // weights.
  static Result<Weights> open(const std::string& folder, const std::string& lora = "");
  // `model` with these tensors in place of all of its own, by the names that its folder has; where
  // they are no floats, `format` reads them. tied_head: as config.json would say it.
  static Result<Weights> of_tensors(const Weights& model, std::vector<NamedTensor> tensors,
                                    std::shared_ptr<const WeightFormat> format, bool tied_head);

  // The same with these tensors too, whose names it has not.
  Weights with(std::vector<NamedTensor> more) const;

  const Checkpoint& checkpoint() const { return checkpoint_; }
  const DecoderConfig& config() const { return config_; }
  // Whether the module's weight is stored as anything but a float type.
  bool quantizes(const std::string& module) const {
    return formatted(module) && format_->quantizes(checkpoint_, module);
  }
  // The type of a stored tensor's elements as its file format calls it: "BF16", "Q4_K".
  std::string type_name(const NamedTensor& tensor) const;
  // The scheme of a quantized module, none for a float one and for one whose values are no integers
  // times a scale. The embedding and the head count too.
  std::optional<Scheme> scheme_of(const std::string& module) const;
  // The same where ggml's blocks (Scheme::blocks) count too: what quantized() gives, to be copied
  // or compared. Nothing runs so.
  std::optional<Scheme> stored_scheme(const std::string& module) const;
  // What a quantized module is called ("w4g128", "nf4"); empty for a float one.
  std::string form_of(const std::string& module) const;
  // The float type that holds a module's weight: as stored, or F32 where it is merged.
  Result<DType> stored_type(const std::string& module) const;
  // Identifies the checkpoint, and the adapter where there is one. `memory`: as remembered_digest's
  // folder; where it is empty, all is read.
  Result<std::string> digest(const std::string& memory = "") const;
  // All tensors as a folder of plain floats holds them: merged, and each quantized module as its
  // weight. Each is made when it is loaded; their floats are of `type`, or keep the type they have.
  Result<std::vector<PendingTensor>> float_tensors(std::optional<DType> type = {}) const;

  // As (n, k), also where the checkpoint stores it the other way round: a copy is made then.
  Result<TensorView> float_matrix(const std::string& name, int64_t n, int64_t k) const;
  // The stored matrix as floats, (n, k); gives its mapped pages back.
  Result<std::vector<float>> floats(const std::string& name, int64_t n, int64_t k) const;
  // Bytes of a module's weight (n, k), as stored.
  Result<int64_t> stored_bytes(const std::string& module, int64_t n, int64_t k) const;
  // The shape under which a checkpoint of this family stores the matrix (n, k) of a block's linear.
  std::array<int64_t, 2> stored_shape(int64_t n, int64_t k) const;
  Result<std::vector<float>> vector(const VectorSpec& spec) const;
  // As blocks run it: a norm of 1 + w holds that, one without weights ones.
  Result<Norm> norm(const NormSpec& spec) const;
  // What a checkpoint holds for a norm of these values: weights in the type that they have now,
  // biases as float32.
  Result<std::vector<NamedTensor>> norm_tensors(const NormSpec& spec, const Norm& norm) const;
  Result<std::vector<float>> bias(const LinearSpec& spec) const;
  Result<QuantizedMatrix> quantized(const std::string& module, int64_t n, int64_t k) const;
  // How integer arithmetic of this kind treats the module's inputs. An error where `mode` is
  // static and the module has no scale for them.
  Result<InputRule> input_rule(const std::string& module, Activations mode) const;
  // MODULE.outlier_columns and MODULE.outlier_weight, if the checkpoint has them.
  Result<FloatColumns> outlier_columns(const std::string& module, int64_t n, int64_t k) const;
  const InputRules& input_rules() const { return input_rules_; }
  // `store` as make_quantized_linear's.
  Result<std::unique_ptr<Linear>> linear(const LinearSpec& spec, Activations mode,
                                         PackedStore* store = nullptr) const;
  Result<std::unique_ptr<Linear>> float_linear(const MatrixSpec& spec) const;
  Result<Embedding> embedding() const;
  // The same with these rows.
  Result<Embedding> embedding(QuantizedMatrix rows) const;
  // The output head: the embedding where the two are tied.
  Result<Head> head(Activations mode, PackedStore* store = nullptr) const;
  // The same with this matrix, (vocab, embedding_width).
  Result<Head> head(QuantizedMatrix matrix) const;

 private:
  Result<TensorView> merged_matrix(const std::string& module, int64_t n, int64_t k) const;
  Result<TensorView> stored_matrix(const std::string& name, int64_t n, int64_t k) const;
  bool changed(const std::string& module) const { return lora_ && lora_->changes(module); }
  Status find_base();
  Status check_shapes() const;
  Status check_matrix(const std::string& module, int64_t n, int64_t k) const;
  bool transposed(const std::string& name) const;
  bool formatted(const std::string& module) const;
  std::shared_ptr<const RowSource> row_source(const std::string& module) const;
  Result<std::shared_ptr<const EmbeddingTail>> embedding_tail() const;
  Result<Head> head(std::unique_ptr<Linear> linear) const;
  Checkpoint checkpoint_;
  DecoderConfig config_;
  std::shared_ptr<const WeightFormat> format_;  // null: floats only
  std::shared_ptr<const LoraAdapter> lora_;     // null: none
  InputRules input_rules_;
};

}  // namespace nibble
