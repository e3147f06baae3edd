// A checkpoint seen as a decoder's weights: names become roles, shapes are checked, and a linear
// comes back ready to run whether it is stored as floats or quantized.
#pragma once

#include <memory>
#include <set>
#include <vector>

#include "formats/checkpoint.h"
#include "formats/weights/weight_format.h"
#include "model/config.h"
#include "model/embedding.h"
#include "model/head.h"
#include "model/linear.h"
#include "model/roles.h"

namespace nibble {

class Weights {
 public:
  // Opens a model folder or a GGUF file: config, names and shapes of every tensor that the decoder
  // needs are checked here, so that loading cannot fail half way for a lying file.
  static Result<Weights> open(const std::string& folder);

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

  // As (n, k), also where the checkpoint stores it the other way round: a copy is made then.
  Result<TensorView> float_matrix(const std::string& name, int64_t n, int64_t k) const;
  // Of tensors(): those that a Hugging Face folder of this family would hold as well, and the
  // matrices that are stored in another way, as it would hold them. `left_out` of these are not
  // made.
  Result<std::vector<NamedTensor>> folder_tensors(const std::set<std::string>& left_out) const;
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
  InputRules input_rules_;
};

}  // namespace nibble
