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
Result<bool> add_patterns(const Json& part, const std::string& what,
                          std::vector<std::string>& out) {
  std::string type = NB_TRY(get_string(part, "type", "", what));
  if (type == "Sequence") {
    auto parts = part.find("pretokenizers");
    if (parts == part.end() || !parts->is_array()) return false;
    for (const Json& p : *parts)
      if (!p.is_object() || !NB_TRY(add_patterns(p, what, out))) return false;
    return true;
  }
  if (type == "ByteLevel") {
    // Its own splitting is GPT-2's.
    if (NB_TRY(get_bool(part, "use_regex", true, what))) out.emplace_back(GPT2_WORDS);
    return !NB_TRY(get_bool(part, "add_prefix_space", false, what));
  }
  if (type == "Digits") {
    bool each = NB_TRY(get_bool(part, "individual_digits", false, what));
    out.emplace_back(each ? R"(\p{N})" : R"(\p{N}+)");
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
  bool read =
      part != tokenizer.end() && part->is_object() && NB_TRY(add_patterns(*part, what, patterns));
  auto model = tokenizer.find("model");
  bool whole_words =
      model != tokenizer.end() && NB_TRY(get_bool(*model, "ignore_merges", false, what));
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
