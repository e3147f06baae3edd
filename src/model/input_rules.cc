#include "model/input_rules.h"

#include <algorithm>

#include "base/file.h"

namespace nibble {

bool is_module_name(const std::string& text) {
  return !text.empty() && text.size() < 200 &&
         std::all_of(
             text.begin(), text.end(),
             [](char c) {
               return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                      c == '_' || c == '.' || c == '-';
             });
}

Result<InputRules> InputRules::read(const std::string& folder) {
  InputRules rules;
  std::string path = folder + "/nibble.json";
  if (!path_exists(path)) return rules;
  Json j = NB_TRY(read_json(path));
  if (!j.is_object()) return fail("{}: should be a JSON object", path);
  rules.threshold = NB_TRY(get_number(j, "int8_threshold", 0, path));
  if (!(rules.threshold >= 0)) return fail("{}: \"int8_threshold\" is below 0", path);
  auto it = j.find("float_inputs");
  if (it == j.end() || it->is_null()) return rules;
  if (!it->is_array() || it->size() > 10'000)
    return fail("{}: \"float_inputs\" should be a list of module names", path);
  for (const Json& name : *it) {
    if (!name.is_string() || !is_module_name(name.get_ref<const std::string&>()))
      return fail("{}: \"float_inputs\" should hold module names only", path);
    rules.float_inputs.push_back(name.get<std::string>());
  }
  return rules;
}

bool module_ends_with(const std::string& module, const std::string& ending) {
  if (ending.empty() || !module.ends_with(ending)) return false;
  size_t before = module.size() - ending.size();
  return before == 0 || module[before - 1] == '.';
}

bool InputRules::keeps_float(const std::string& module) const {
  return std::any_of(float_inputs.begin(), float_inputs.end(),
                     [&](const std::string& name) { return module_ends_with(module, name); });
}

Json InputRules::to_json() const {
  Json j = Json::object();
  if (threshold > 0) j["int8_threshold"] = threshold;
  if (!float_inputs.empty()) j["float_inputs"] = float_inputs;
  return j;
}

}  // namespace nibble
