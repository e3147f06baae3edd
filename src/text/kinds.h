// Reading the parts of tokenizer.json that are "one of many kinds, or a Sequence of them".
#pragma once

#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/json.h"
#include "text/regex.h"

namespace nibble {

// The parts of `j` in order, with every Sequence (its parts under `member`) replaced by its parts.
// Nothing for null.
Result<std::vector<const Json*>> flatten_sequence(const Json& j, const char* member,
                                                  const std::string& what);

template <class Part>
struct Kind {
  const char* name;
  Result<std::unique_ptr<Part>> (*make)(const Json& j, const std::string& what);
};

// Makes each part of `j` with the kind of its "type"; an error names a kind that is not listed.
template <class Part>
Result<std::vector<std::unique_ptr<Part>>> make_parts(const Json& j, const char* member,
                                                      const char* role,
                                                      std::span<const Kind<Part>> kinds,
                                                      const std::string& what) {
  std::vector<std::unique_ptr<Part>> parts;
  for (const Json* part : NB_TRY(flatten_sequence(j, member, what))) {
    std::string type = NB_TRY(get_string(*part, "type", std::nullopt, what));
    const Kind<Part>* kind = nullptr;
    for (const auto& k : kinds)
      if (type == k.name) kind = &k;
    if (!kind) return fail("{}: {} \"{}\" is not supported yet", what, role, type);
    parts.push_back(NB_TRY(kind->make(*part, fmt::format("{}: {} {}", what, role, type))));
  }
  return parts;
}

// The "pattern" of Split and Replace: {"String": s} or {"Regex": s}.
class Pattern {
 public:
  static Result<Pattern> read(const Json& j, const std::string& what);
  static Pattern literal(std::string_view text) {
    Pattern pattern;
    pattern.literal_ = text;
    return pattern;
  }
  // Calls found(Match) for each match, left to right. An empty string matches nowhere.
  template <class F>
  Status for_each(std::string_view text, F&& found) const {
    if (regex_) return regex_->for_each(text, found);
    if (literal_.empty()) return {};
    for (size_t i = 0; (i = text.find(literal_, i)) != text.npos; i += literal_.size())
      found(Match{i, i + literal_.size()});
    return {};
  }

 private:
  std::string literal_;
  std::optional<Regex> regex_;
};

// `text` with each match replaced; true where there was one.
Result<bool> replace_all(const Pattern& pattern, std::string_view content, std::string& text);

// The member as one Unicode character.
Result<char32_t> get_char(const Json& j, const char* key, std::optional<std::string> fallback,
                          const std::string& what);

}  // namespace nibble
