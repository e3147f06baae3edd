// A model in GGUF form: one file, or the parts of a split one.
// Source: ggml-org/llama.cpp, src/llama-model-loader.cpp (split.*) and tools/gguf-split.
#pragma once

#include <unordered_map>

#include "formats/gguf.h"

namespace nibble {

// Whether `path` is a .gguf file, or a folder that has such files and no config.json.
bool is_gguf_model(const std::string& path);

// "model-00002-of-00005.gguf" of "model.gguf"; parts count from 1.
std::string gguf_part_name(std::string_view file, int64_t part, int64_t count);

class GgufModel {
 public:
  struct Tensor {
    const GgufTensor* header;
    std::shared_ptr<MappedFile> file;
  };

  // `path`: a file, any part ("-00001-of-00003.gguf") of a split one, or a folder whose GGUF files
  // are those of one model.
  static Result<GgufModel> open(const std::string& path);
  GgufModel(GgufModel&&) = default;  // tensors point into the parts
  GgufModel& operator=(GgufModel&&) = default;

  const std::string& path() const { return path_; }  // as given
  // A value of the first part's metadata, or null where it is absent or of another kind.
  template <class T>
  const T* find(std::string_view key) const {
    return parts_.front().find<T>(key);
  }
  bool has(std::string_view key) const {
    return parts_.front().metadata.find(key) != parts_.front().metadata.end();
  }
  const auto& metadata() const { return parts_.front().metadata; }
  // Null where no part has it.
  const Tensor* tensor(const std::string& name) const {
    auto it = index_.find(name);
    return it == index_.end() ? nullptr : &it->second;
  }
  size_t tensor_count() const { return index_.size(); }
  size_t part_count() const { return parts_.size(); }

 private:
  GgufModel() = default;
  Status check_parts() const;
  std::string path_;
  std::vector<GgufFile> parts_;
  std::unordered_map<std::string, Tensor> index_;
};

}  // namespace nibble
