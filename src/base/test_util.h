// For unit tests only.
#pragma once

#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>
#include <string>

#include "base/result.h"

namespace nibble {

// A new empty folder that goes away with its owner.
class TempFolder {
 public:
  TempFolder() {
    std::string name = (std::filesystem::temp_directory_path() / "nibble-test-XXXXXX").string();
    NB_CHECK(mkdtemp(name.data()) != nullptr);
    path_ = name;
  }
  ~TempFolder() {
    std::error_code ec;
    std::filesystem::remove_all(path_, ec);
  }
  TempFolder(const TempFolder&) = delete;
  TempFolder& operator=(const TempFolder&) = delete;

  const std::string& path() const { return path_; }
  std::string operator/(const std::string& name) const { return path_ + "/" + name; }

 private:
  std::string path_;
};

// Whether the result is an error whose message holds `part`, on one line of printable characters.
template <class T>
testing::AssertionResult fails_with(const Result<T>& result, const std::string& part) {
  if (result) return testing::AssertionFailure() << "no error, expected: " << part;
  const std::string& message = result.error().message;
  for (unsigned char c : message)
    if (c < 0x20 || c == 0x7f) return testing::AssertionFailure() << "not one clean line";
  if (message.find(part) != std::string::npos) return testing::AssertionSuccess();
  return testing::AssertionFailure() << "\"" << message << "\" lacks \"" << part << "\"";
}

// Fails the test with the error's text where there is one.
template <class T>
testing::AssertionResult succeeds(const Result<T>& result) {
  if (result) return testing::AssertionSuccess();
  return testing::AssertionFailure() << result.error().message;
}

}  // namespace nibble
