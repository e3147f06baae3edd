// Ends a stream of text at the first stop string in it.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace nibble {

// Text is handed on as soon as it cannot be the beginning of a stop string; the stop string itself
// and what follows it never are.
class StopFilter {
 public:
  // `stops`: none empty.
  explicit StopFilter(std::vector<std::string> stops) : stops_(std::move(stops)) {}
  // The part of the text so far that may be shown now.
  std::string push(std::string_view text);
  // What was held back, at the end of a stream that met no stop string.
  std::string finish();
  bool stopped() const { return stopped_; }

 private:
  std::vector<std::string> stops_;
  std::string held_;
  bool stopped_ = false;
};

}  // namespace nibble
