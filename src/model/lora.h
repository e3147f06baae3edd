// A LoRA adapter in PEFT's layout: for each module that it changes, matrices A and B whose product
// is added to the weight.
// Sources: Hu et al., arXiv 2106.09685; Kalajdzievski, arXiv 2312.03732 (use_rslora);
// github.com/huggingface/peft 0.21, tuners/lora/{config,model,layer}.py.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "formats/checkpoint.h"
#include "formats/name_pattern.h"
#include "model/config.h"

namespace nibble {

class LoraAdapter {
 public:
  // Reads adapter_config.json and adapter_model.safetensors (or .bin) of `folder` for a model of
  // this config. Refuses by name what would be merged wrongly (DoRA, trained biases, saved modules,
  // initial values that change the base), modules that the model lacks, and shapes that do not fit.
  static Result<std::shared_ptr<const LoraAdapter>> open(const std::string& folder,
                                                         const DecoderConfig& config);

  bool changes(const std::string& module) const { return modules_.contains(module); }
  size_t count() const { return modules_.size(); }
  // w += scale B A, w: (n, k) row-major, the module's weight.
  Status add(const std::string& module, int64_t n, int64_t k, float* w) const;
  // What the merged model's digest takes in.
  const std::string& digest() const { return digest_; }

 private:
  struct Update {
    TensorView A, B;  // (rank, k), (n, rank)
    float scale = 1;
  };
  struct Patterns {  // rank_pattern, alpha_pattern: the first that matches a module decides
    std::vector<std::pair<NamePattern, double>> list;
    double of(const std::string& module, double otherwise) const;
  };
  static Result<Patterns> parse_patterns(const Json& config, const char* key,
                                         const std::string& what);
  Status take(const Json& config, const std::string& what, const DecoderConfig& model,
              std::vector<NamedTensor> tensors);
  std::string folder_, digest_;
  std::map<std::string, Update> modules_;
};

}  // namespace nibble
