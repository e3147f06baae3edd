// config.json's fields, checked as they are read.
#pragma once

#include <functional>
#include <span>
#include <string>

#include "model/config.h"

namespace nibble {

class ConfigReader {
 public:
  static constexpr int64_t kMost = 1 << 24;  // of a count that sizes memory: no model comes near

  // `json`: an object. `what` names the file in errors.
  ConfigReader(const Json& json, std::string what) : json_(&json), what_(std::move(what)) {}
  const Json& json() const { return *json_; }
  const std::string& what() const { return what_; }

  // There and not null.
  bool has(const char* key) const;
  // There, perhaps as null, which families use for "none" where the absent key has a default.
  bool names(const char* key) const { return json_->contains(key); }
  // The first of `keys` that is there, or the first.
  const char* first(std::span<const char* const> keys) const;
  // The object at `key`.
  Result<ConfigReader> object(const char* key) const;

  Result<int64_t> count(const char* key, std::optional<int64_t> fallback,
                        int64_t most = kMost) const;
  Result<double> positive(const char* key, std::optional<double> fallback) const;
  // 0 where the key is null; `fallback` where it is absent.
  Result<double> optional_positive(const char* key, double fallback) const;
  Result<bool> flag(const char* key, bool fallback) const {
    return get_bool(*json_, key, fallback, what_);
  }
  Result<std::string> text(const char* key, std::optional<std::string> fallback) const {
    return get_string(*json_, key, std::move(fallback), what_);
  }
  Result<std::vector<double>> numbers(const char* key) const;
  Result<Activation> activation(const char* key, const char* fallback) const;

  // The one rotation of a model with heads of `head_dim`: transformers 4 has rope_theta and
  // rope_scaling, transformers 5 rope_parameters with both. `theta`, `share`: what transformers'
  // class of the family assumes.
  Result<RopeSpec> rope(int64_t head_dim, int64_t context, double theta, double share) const;
  // The same by the fields of this object, some of which the model's own config (`outer`) may hold.
  Result<RopeSpec> rope(const ConfigReader& outer, int64_t head_dim, int64_t context, double theta,
                        double share) const;
  // sliding_window, 0 for none: `fallback` where the key is absent.
  Result<int64_t> window(int64_t fallback) const;
  // Puts the window on the layers that "layer_types" calls sliding, or, without that, on those of
  // `rule`.
  Status windows(int64_t window, const std::function<bool(int64_t layer)>& rule,
                 DecoderConfig& out) const;

 private:
  const Json* json_;
  std::string what_;
};

}  // namespace nibble
