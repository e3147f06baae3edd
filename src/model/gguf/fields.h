// A GGUF model's metadata, checked as it is read.
#pragma once

#include <optional>
#include <string>

#include "base/json.h"
#include "formats/gguf_model.h"

namespace nibble {

class GgufFields {
 public:
  static Result<GgufFields> read(const GgufModel& model);

  const std::string& architecture() const { return architecture_; }
  const std::string& path() const { return model_->path(); }

  // The value of ARCHITECTURE.KEY: nothing where it is absent, an error where it is of another
  // kind. A list with one value for each layer is that value, an error where they differ.
  Result<std::optional<int64_t>> integer(const char* key) const;
  Result<std::optional<double>> number(const char* key) const;
  Result<std::optional<bool>> flag(const char* key) const;
  Result<std::optional<std::string>> text(const char* key) const;
  // The same, where it must be there.
  Result<int64_t> need_integer(const char* key) const;

  bool has_tensor(const std::string& name) const { return model_->tensor(name) != nullptr; }
  // Of a tensor of `dims` dimensions that must be there.
  Result<std::vector<int64_t>> shape(const std::string& name, size_t dims) const;
  // The floats of a vector tensor; empty where it is absent.
  Result<std::vector<double>> vector(const std::string& name) const;

 private:
  explicit GgufFields(const GgufModel& model) : model_(&model) {}
  const GgufValue* find(const char* key) const;
  std::unexpected<Error> wrong(const char* key, const char* should) const;
  const GgufModel* model_;
  std::string architecture_;
};

// The shortest decimal that is this float32, as the number that a config once held: 1e-05, not
// 9.999999747378752e-06. Others as they are.
double shortest(double value);

}  // namespace nibble
