#include "export/gguf_pre_tokenizer.h"

#include <algorithm>
#include <string_view>
#include <vector>

namespace nibble {
namespace {

struct Known {
  const char* name;
  std::vector<std::string_view> patterns;
};
const std::vector<Known>& known() {
  static const std::vector<Known> kAll = {
#define X(name, ...) {name, {__VA_ARGS__}},
#include "text/gguf_pre_tokenizers.inc"
#undef X
  };
  return kAll;
}

// Adds the patterns at which one part splits; false where it is of another kind.
bool add_patterns(const Json& part, std::vector<std::string>& out) {
  std::string type = part.value("type", "");
  if (type == "Sequence") {
    auto parts = part.find("pretokenizers");
    return parts != part.end() && parts->is_array() &&
           std::ranges::all_of(
               *parts, [&](const Json& p) { return p.is_object() && add_patterns(p, out); });
  }
  if (type == "ByteLevel") {
    // Its own splitting is GPT-2's.
    if (part.value("use_regex", true)) out.emplace_back(GPT2_WORDS);
    return !part.value("add_prefix_space", false);
  }
  if (type == "Digits") {
    out.emplace_back(part.value("individual_digits", false) ? R"(\p{N})" : R"(\p{N}+)");
    return true;
  }
  if (type != "Split") return false;
  auto pattern = part.find("pattern");
  if (pattern == part.end() || !pattern->is_object() || !pattern->contains("Regex")) return false;
  const Json& regex = (*pattern)["Regex"];
  if (regex.is_string()) out.push_back(regex.get<std::string>());
  return regex.is_string();
}

}  // namespace

Result<std::string> gguf_pre_tokenizer(const Json& tokenizer, const std::string& model_type,
                                       const std::string& what) {
  if (model_type == "falcon") return "falcon";  // its parts are kinds of their own
  std::vector<std::string> patterns;
  auto part = tokenizer.find("pre_tokenizer");
  bool read = part != tokenizer.end() && part->is_object() && add_patterns(*part, patterns);
  auto model = tokenizer.find("model");
  bool whole_words =
      model != tokenizer.end() && model->is_object() && model->value("ignore_merges", false);
  for (const Known& k : known()) {
    std::string_view name = k.name;
    // llama.cpp takes words that are tokens as they are with these names alone.
    bool takes_whole = name == "llama-bpe" || name == "tekken";
    bool usable = takes_whole == whole_words || name == "gpt-4o";
    if (read && usable && name != "default" && std::ranges::equal(k.patterns, patterns))
      return std::string(name);
  }
  return fail(
      "{}: llama.cpp knows no pre-tokenizer that splits as this one; its tokens would differ",
      what);
}

}  // namespace nibble
