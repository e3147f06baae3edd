#include "runtime/stop_filter.h"

#include <algorithm>

namespace nibble {

std::string StopFilter::push(std::string_view text) {
  if (stopped_) return {};
  held_ += text;
  size_t end = std::string::npos;
  for (const std::string& stop : stops_) end = std::min(end, held_.find(stop));
  if (end != std::string::npos) {
    stopped_ = true;
    held_.resize(end);
    return std::move(held_);
  }
  // The longest end of the text that begins a stop string waits for what comes.
  size_t wait = 0;
  for (const std::string& stop : stops_)
    for (size_t n = std::min(stop.size() - 1, held_.size()); n > wait; --n)
      if (std::string_view(held_).ends_with(std::string_view(stop).substr(0, n))) wait = n;
  std::string shown = held_.substr(0, held_.size() - wait);
  held_.erase(0, shown.size());
  return shown;
}

std::string StopFilter::finish() { return stopped_ ? std::string() : std::move(held_); }

}  // namespace nibble
