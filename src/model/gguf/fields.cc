#include "model/gguf/fields.h"

#include <algorithm>
#include <charconv>

namespace nibble {

Result<GgufFields> GgufFields::read(const GgufModel& model) {
  GgufFields out(model);
  const auto* name = model.find<std::string_view>("general.architecture");
  if (!name) return fail("{}: says no general.architecture", model.path());
  out.architecture_ = *name;
  return out;
}

const GgufValue* GgufFields::find(const char* key) const {
  auto it = model_->metadata().find(architecture_ + "." + key);
  return it == model_->metadata().end() ? nullptr : &it->second;
}

std::unexpected<Error> GgufFields::wrong(const char* key, const char* should) const {
  return fail("{}: {}.{} should be {}", path(), in_quotes(architecture_), key, should);
}

Result<std::optional<int64_t>> GgufFields::integer(const char* key) const {
  const GgufValue* value = find(key);
  if (!value) return std::nullopt;
  if (const auto* one = std::get_if<int64_t>(value)) return *one;
  const auto* array = std::get_if<GgufArray>(value);
  const auto* list = array ? std::get_if<std::vector<int64_t>>(array) : nullptr;
  if (!list || list->empty()) return wrong(key, "a whole number");
  if (std::any_of(list->begin(), list->end(), [&](int64_t v) { return v != list->front(); }))
    return wrong(key, "the same for all layers; nibble knows no model where it differs");
  return list->front();
}

Result<std::optional<double>> GgufFields::number(const char* key) const {
  const GgufValue* value = find(key);
  if (!value) return std::nullopt;
  if (const auto* whole = std::get_if<int64_t>(value)) return static_cast<double>(*whole);
  const auto* real = std::get_if<double>(value);
  if (!real) return wrong(key, "a number");
  return shortest(*real);
}

Result<std::optional<bool>> GgufFields::flag(const char* key) const {
  const GgufValue* value = find(key);
  if (!value) return std::nullopt;
  const auto* flag = std::get_if<bool>(value);
  if (!flag) return wrong(key, "true or false");
  return *flag;
}

Result<std::optional<std::string>> GgufFields::text(const char* key) const {
  const GgufValue* value = find(key);
  if (!value) return std::nullopt;
  const auto* text = std::get_if<std::string_view>(value);
  if (!text) return wrong(key, "a text");
  return std::string(*text);
}

Result<int64_t> GgufFields::need_integer(const char* key) const {
  auto value = NB_TRY(integer(key));
  if (!value) return fail("{}: has no {}.{}", path(), in_quotes(architecture_), key);
  return *value;
}

Result<std::vector<int64_t>> GgufFields::shape(const std::string& name, size_t dims) const {
  const GgufModel::Tensor* t = model_->tensor(name);
  if (!t) return fail("{}: has no tensor {}", path(), in_quotes(name));
  if (t->header->shape.size() != dims)
    return fail("{}: tensor {} has {} dimensions, should have {}", path(), in_quotes(name),
                t->header->shape.size(), dims);
  return t->header->shape;
}

Result<std::vector<double>> GgufFields::vector(const std::string& name) const {
  const GgufModel::Tensor* t = model_->tensor(name);
  if (!t) return std::vector<double>{};
  constexpr int64_t kMost = 1 << 16;  // of what belongs to one head
  if (t->header->shape.size() != 1 || t->header->elements() > kMost)
    return fail("{}: tensor {} should be a short vector", path(), in_quotes(name));
  std::vector<float> floats(static_cast<size_t>(t->header->elements()));
  gguf_to_float(*t->header, floats.data());
  std::vector<double> out;
  for (float f : floats) out.push_back(shortest(f));
  return out;
}

double shortest(double value) {
  auto narrow = static_cast<float>(value);
  if (static_cast<double>(narrow) != value) return value;
  char text[32];
  auto [end, error] = std::to_chars(text, text + sizeof text, narrow);
  double out = value;
  std::from_chars(text, end, out);
  return out;
}

}  // namespace nibble
