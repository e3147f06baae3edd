// The targets of compressed-tensors: what a config group applies to and what is ignored.
// Source: github.com/vllm-project/compressed-tensors, utils/match.py, match_name and match_targets.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "base/result.h"

namespace nibble {

// "Linear", a module's name or the tail of one, or "re:" and a regular expression that matches from
// the name's first character, as Python's re.match. Matching is bounded in time and memory.
class NamePattern {
 public:
  // How closely a pattern names a module; the closest decides.
  enum class Match { kNone, kClass, kTail, kRegex, kName };

  static Result<NamePattern> compile(const std::string& text, const std::string& what);
  Match match(std::string_view module) const;
  const std::string& text() const { return text_; }

 private:
  std::string text_;
  std::string name_;                   // for "re:" and nothing but a name
  std::shared_ptr<const void> regex_;  // pcre2_code, for other "re:"
};

// The pattern that only this name matches.
std::string exact_pattern(std::string_view module);

}  // namespace nibble
