// The tensors of a Hugging Face folder by name, whatever files hold them.
#pragma once

#include <string>
#include <unordered_map>
#include <vector>

#include "base/json.h"
#include "base/result.h"
#include "tensor/view.h"

namespace nibble {

// Hash of a config's text and of tensors, whatever their order: names, dtypes, shapes and all bytes
// (XXH3, 128 bit, hex).
Result<std::string> digest_of(const std::string& config, const std::vector<NamedTensor>& tensors);

class Checkpoint {
 public:
  // Opens config.json and the weights of a folder: model.safetensors, or the shards that
  // model.safetensors.index.json names (single path components only; every mapped tensor must be
  // in its file), the same as pytorch_model.bin, or the only *.safetensors file there.
  static Result<Checkpoint> open(const std::string& folder);

  // Tensors that are already open, under a name for messages.
  static Checkpoint of_tensors(std::string name, std::vector<NamedTensor> tensors,
                               Json config = {});

  const std::string& folder() const { return folder_; }
  const Json& config() const { return config_; }
  bool has(const std::string& name) const { return index_.contains(name); }
  // The tensor, or an error that names it and the folder.
  Result<TensorView> get(const std::string& name) const;
  // The same, with an error unless the shape is the given one.
  Result<TensorView> get(const std::string& name, std::span<const int64_t> shape) const;
  // All tensors in file order.
  const std::vector<NamedTensor>& tensors() const { return tensors_; }
  // config.json as it is; the config itself where there is no such file.
  Result<std::string> config_text() const;
  // digest_of config_text and the tensors: what a resumable job or a report identifies its input
  // by.
  Result<std::string> digest() const;

 private:
  void build_index();
  std::string folder_;
  Json config_;
  std::vector<NamedTensor> tensors_;
  std::unordered_map<std::string, size_t> index_;
};

}  // namespace nibble
