// A folder for what a command makes on its way.
#pragma once

#include <string>
#include <utility>

#include "base/result.h"

namespace nibble {

// It goes away, with all that is in it, with its owner.
class WorkFolder {
 public:
  static Result<WorkFolder> create();
  WorkFolder(WorkFolder&& other) noexcept : path_(std::exchange(other.path_, "")) {}
  ~WorkFolder();
  std::string operator/(const std::string& name) const { return path_ + "/" + name; }

 private:
  explicit WorkFolder(std::string path) : path_(std::move(path)) {}
  std::string path_;
};

}  // namespace nibble
