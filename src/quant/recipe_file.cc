// Recipes as YAML and as the JSON that an artifact keeps: both become entries in file order.
#include <yaml-cpp/yaml.h>

#include "base/file.h"
#include "quant/recipe.h"

namespace nibble {
namespace {

constexpr int64_t kLargestFile = 1 << 20;

// "SELECTOR: SCHEME [METHOD]" as one string, the form of a list's items.
Result<RecipeEntry> entry_of_text(const std::string& text, const std::string& path) {
  size_t colon = text.find(':');
  if (colon == std::string::npos)
    return fail("{}: the rule {} has no colon; a rule is SELECTOR: SCHEME [METHOD]", path,
                in_quotes(text));
  auto trim = [](std::string s) {
    size_t first = s.find_first_not_of(' ');
    return first == std::string::npos ? "" : s.substr(first, s.find_last_not_of(' ') - first + 1);
  };
  return RecipeEntry{trim(text.substr(0, colon)), trim(text.substr(colon + 1)), path};
}

Status add_yaml_map(const YAML::Node& map, const std::string& path, std::vector<RecipeEntry>& out);

// A list of rules, each "SELECTOR: ..." as a string or as a map.
Status add_yaml_list(const YAML::Node& list, const std::string& path,
                     std::vector<RecipeEntry>& out) {
  for (const YAML::Node& item : list) {
    if (item.IsMap())
      NB_OK(add_yaml_map(item, path, out));
    else if (item.IsScalar())
      out.push_back(NB_TRY(entry_of_text(item.Scalar(), path)));
    else
      return fail("{}: a list of rules holds lines as: - rest: w4g128 gptq", path);
  }
  return {};
}

Status add_yaml_map(const YAML::Node& map, const std::string& path, std::vector<RecipeEntry>& out) {
  for (const auto& pair : map) {
    if (!pair.first.IsScalar()) return fail("{}: a key should be a selector or an option", path);
    const std::string& key = pair.first.Scalar();
    if (key == "rules" && pair.second.IsSequence())
      NB_OK(add_yaml_list(pair.second, path, out));
    else if (pair.second.IsScalar())
      out.push_back({key, pair.second.Scalar(), path});
    else
      return fail("{}: {} should have one value, as w4g128 gptq", path, in_quotes(key));
  }
  return {};
}

Result<std::vector<RecipeEntry>> read_yaml(const std::string& path) {
  std::vector<RecipeEntry> out;
  // The library throws for what it cannot read.
  try {
    YAML::Node document = YAML::Load(NB_TRY(read_file(path, kLargestFile)));
    if (document.IsMap())
      NB_OK(add_yaml_map(document, path, out));
    else if (document.IsSequence())
      NB_OK(add_yaml_list(document, path, out));
    else
      return fail("{}: is no recipe; a recipe has lines as: rest: w4g128 gptq", path);
  } catch (const YAML::Exception& e) {
    return fail("{}: is not YAML: line {}: {}", path, e.mark.line + 1, e.msg);
  }
  return out;
}

Result<std::vector<RecipeEntry>> read_json_recipe(const std::string& path) {
  Json document = NB_TRY(read_json(path));
  const Json& recipe =
      document.is_object() && document.contains("recipe") ? document["recipe"] : document;
  if (!recipe.is_object() || !recipe.contains("rules") || !recipe["rules"].is_array())
    return fail("{}: holds no recipe with \"rules\"", path);
  std::vector<RecipeEntry> out;
  for (const Json& rule : recipe["rules"]) {
    if (!rule.is_string()) return fail("{}: a rule of the recipe is no string", path);
    out.push_back(NB_TRY(entry_of_text(rule.get<std::string>(), path)));
  }
  for (const auto& [key, value] : recipe.items())
    if (key != "rules")
      out.push_back({key, value.is_string() ? value.get<std::string>() : value.dump(), path});
  return out;
}

}  // namespace

Result<std::vector<RecipeEntry>> read_recipe(const std::string& path) {
  return path.ends_with(".json") ? read_json_recipe(path) : read_yaml(path);
}

}  // namespace nibble
