// What the tests of tokenizers share: files made for one test.
#pragma once

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>

#include "base/file.h"
#include "text/tokenizer.h"

namespace nibble {

using Ids = std::vector<int32_t>;

// A folder of this test alone, gone with it.
class TokenizerFiles : public testing::Test {
 protected:
  TokenizerFiles()
      : folder_(std::filesystem::temp_directory_path() /
                fmt::format("nibble_text_{}_{}", ::getpid(),
                            testing::UnitTest::GetInstance()->current_test_info()->name())) {
    std::filesystem::create_directories(folder_);
  }
  ~TokenizerFiles() override { std::filesystem::remove_all(folder_); }

  Result<std::unique_ptr<Tokenizer>> load_as(const std::string& name, std::string_view content) {
    std::string path = (folder_ / name).string();
    EXPECT_TRUE(write_file(path, content));
    return load_tokenizer(path);
  }
  auto load_json(std::string_view content) { return load_as("tokenizer.json", content); }
  // The error of loading `content`: one line that names the file.
  std::string error_of(const std::string& name, std::string_view content) {
    auto t = load_as(name, content);
    if (t) return "loaded";
    EXPECT_NE(t.error().message.find(name), std::string::npos) << t.error().message;
    EXPECT_EQ(t.error().message.find('\n'), std::string::npos);
    return t.error().message;
  }
  std::filesystem::path folder_;
};

// A tokenizer.json with a BPE model.
inline std::string bpe_json(const std::string& vocab, const std::string& merges,
                            const std::string& rest = "") {
  return R"({"model": {"type": "BPE", "vocab": {)" + vocab + R"(}, "merges": [)" + merges + "]}" +
         (rest.empty() ? "" : ", " + rest) + "}";
}

}  // namespace nibble
