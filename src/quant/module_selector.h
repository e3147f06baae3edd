// What a rule of a recipe speaks of.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "base/result.h"

namespace nibble {

// "rest" (every linear of the blocks), "embedding", "head", or [layers LIST] [NAMES]:
//   LIST: 0-3,7,10-   (10-: to the last)
//   NAMES, comma between: qkv, gate_up, the tail of a module's name (down_proj, mlp.down_proj), or
//   a pattern with * for any characters that covers the whole name (model.layers.1*.down_proj).
class ModuleSelector {
 public:
  enum class Kind : uint8_t { kLinears, kEmbedding, kHead };

  static Result<ModuleSelector> parse(const std::string& text);
  // `module` of block `layer`.
  bool matches(int64_t layer, const std::string& module) const;
  Kind kind() const { return kind_; }
  bool is_rest() const { return kind_ == Kind::kLinears && layers_.empty() && names_.empty(); }
  // In one spelling, which parse reads back.
  const std::string& text() const { return text_; }

 private:
  Status parse_layers(std::string_view list);
  Kind kind_ = Kind::kLinears;
  std::vector<std::pair<int64_t, int64_t>> layers_;  // first to last; empty: all
  std::vector<std::string> names_;                   // empty: all
  std::string text_;
};

}  // namespace nibble
