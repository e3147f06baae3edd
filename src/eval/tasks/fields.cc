#include "eval/tasks/fields.h"

namespace nibble {

Result<std::vector<std::string>> texts_field(const Json& item, const char* key,
                                             const std::string& what) {
  auto at = item.find(key);
  if (at == item.end() || !at->is_array()) return std::vector{NB_TRY(text_field(item, key, what))};
  std::vector<std::string> out;
  for (const Json& text : *at) {
    if (!text.is_string()) return fail("{}: \"{}\" should hold texts", what, key);
    out.push_back(text.get<std::string>());
  }
  if (out.empty()) return fail("{}: \"{}\" is empty", what, key);
  return out;
}

Result<int64_t> label_field(const Json& item, const std::string& what) {
  int64_t label = NB_TRY(get_int(item, "label", -1, what));
  if (label < -1) return fail("{}: label {} is below 0", what, label);
  return label;
}

}  // namespace nibble
