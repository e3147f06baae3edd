#include "export/source_license.h"

#include <algorithm>

#include "base/file.h"
#include "base/json.h"
#include "base/text.h"

namespace nibble {
namespace {

constexpr int64_t kLargestText = 1 << 20;

// Every run of blanks and line ends one blank; none at either end.
std::string one_line(std::string_view text) {
  constexpr std::string_view kBlank = " \t\r\n";
  std::string out;
  while (!text.empty()) {
    size_t begin = std::min(text.find_first_not_of(kBlank), text.size());
    text.remove_prefix(begin);
    size_t end = std::min(text.find_first_of(kBlank), text.size());
    if (end > 0) out.append(out.empty() ? "" : " ").append(text.substr(0, end));
    text.remove_prefix(end);
  }
  return out;
}

// The lines between the --- of a card's head; empty where it has none.
std::string_view head_of(std::string_view card) {
  constexpr std::string_view kBegin = "---\n", kEnd = "\n---\n";
  if (!card.starts_with(kBegin)) return "";
  size_t end = card.find(kEnd);
  return end == card.npos ? "" : card.substr(0, end + 1);
}

// What a key at the margin has, where that is one word; else empty.
std::string word_of(std::string_view head, std::string_view key) {
  size_t at = head.find(fmt::format("\n{}: ", key));
  if (at == head.npos) return "";
  std::string_view line = head.substr(at + 1);
  std::string value = one_line(line.substr(key.size() + 1, line.find('\n') - key.size() - 1));
  if (value.size() > 2 && (value[0] == '"' || value[0] == '\'') && value.back() == value[0])
    value = value.substr(1, value.size() - 2);
  bool word = std::ranges::all_of(value, [](unsigned char c) {
    return std::isalnum(c) != 0 || std::string_view("-._:/+~%?=&").contains(static_cast<char>(c));
  });
  return word ? value : "";
}

bool is_apache(std::string_view text) {
  constexpr std::string_view kBegin =
      "Apache License Version 2.0, January 2004 http://www.apache.org/licenses/ TERMS AND "
      "CONDITIONS FOR USE, REPRODUCTION, AND DISTRIBUTION 1. Definitions. ";
  constexpr std::string_view kEnd = "END OF TERMS AND CONDITIONS";
  constexpr std::string_view kAppendix =
      " APPENDIX: How to apply the Apache License to your work. ";
  constexpr size_t kTerms = 9102, kLongestAppendix = 1600;
  if (!text.starts_with(kBegin) || text.find(kEnd) != kTerms) return false;
  std::string_view rest = text.substr(kTerms + kEnd.size());
  return rest.empty() || (rest.starts_with(kAppendix) && rest.size() < kLongestAppendix);
}

bool is_mit(std::string_view text) {
  constexpr std::string_view kTerms =
      "Permission is hereby granted, free of charge, to any person obtaining a copy of this "
      "software and associated documentation files (the \"Software\"), to deal in the Software "
      "without restriction, including without limitation the rights to use, copy, modify, merge, "
      "publish, distribute, sublicense, and/or sell copies of the Software, and to permit persons "
      "to whom the Software is furnished to do so, subject to the following conditions: The above "
      "copyright notice and this permission notice shall be included in all copies or substantial "
      "portions of the Software. THE SOFTWARE IS PROVIDED \"AS IS\", WITHOUT WARRANTY OF ANY KIND, "
      "EXPRESS OR IMPLIED, INCLUDING BUT NOT LIMITED TO THE WARRANTIES OF MERCHANTABILITY, FITNESS "
      "FOR A PARTICULAR PURPOSE AND NONINFRINGEMENT. IN NO EVENT SHALL THE AUTHORS OR COPYRIGHT "
      "HOLDERS BE LIABLE FOR ANY CLAIM, DAMAGES OR OTHER LIABILITY, WHETHER IN AN ACTION OF "
      "CONTRACT, TORT OR OTHERWISE, ARISING FROM, OUT OF OR IN CONNECTION WITH THE SOFTWARE OR THE "
      "USE OR OTHER DEALINGS IN THE SOFTWARE.";
  constexpr size_t kLongestNotice = 300;
  return text.starts_with("MIT License Copyright ") && text.ends_with(kTerms) &&
         text.size() < kTerms.size() + kLongestNotice;
}

// The Hub's name of a licence file's text; empty: not known.
std::string known_license(const std::string& path) {
  Result<std::string> text = read_file(path, kLargestText);
  std::string words = text ? one_line(*text) : "";
  return is_apache(words) ? "apache-2.0" : is_mit(words) ? "mit" : "";
}

}  // namespace

std::string license_lines(const std::string& folder) {
  Result<std::string> card = read_file(folder + "/README.md", kLargestText);
  std::string_view head = card ? head_of(*card) : "";
  std::string said = word_of(head, "license");
  bool by_card = !said.empty();
  for (const std::string& name : list_files(folder).value_or(std::vector<std::string>{})) {
    std::string lower = lower_ascii(name);
    if (!lower.starts_with("license") && !lower.starts_with("licence")) continue;
    std::string known = known_license(folder + "/" + name);
    if (by_card && known.empty()) continue;
    if (known.empty() || (!said.empty() && known != said)) return "";
    said = known;
  }
  if (said.empty()) return "";
  std::string out = fmt::format("license: {}\n", said);
  for (const char* key : {"license_name", "license_link"})
    if (std::string value = word_of(head, key); said == "other" && !value.empty())
      out += fmt::format("{}: \"{}\"\n", key, value);
  return out;
}

}  // namespace nibble
