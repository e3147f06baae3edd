// Regular expressions over UTF-8 (PCRE2, compiled to machine code, with limits on backtracking).
#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace nibble {

struct Match {
  size_t begin, end;  // bytes
};

// Immutable; any number of threads may search with one.
class Regex {
 public:
  // Patterns are those of Oniguruma as tokenizer.json uses them. `what` names the file in errors.
  static Result<Regex> compile(std::string_view pattern, const std::string& what);
  // Calls `found(Match)` for each match in turn, left to right, none overlapping. `text` is UTF-8.
  template <class F>
  Status for_each(std::string_view text, F&& found) const {
    Search search(*this, text);
    while (auto match = NB_TRY(search.next())) found(*match);
    return {};
  }

 private:
  class Search {
   public:
    Search(const Regex& regex, std::string_view text);
    ~Search();
    Search(const Search&) = delete;
    Search& operator=(const Search&) = delete;
    Result<std::optional<Match>> next();

   private:
    const Regex& regex_;
    std::string_view text_;
    size_t at_ = 0;
    void* data_;  // pcre2_match_data
  };

  std::shared_ptr<void> code_;  // pcre2_code
  std::string pattern_, what_;
};

}  // namespace nibble
