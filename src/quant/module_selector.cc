#include "quant/module_selector.h"

#include <algorithm>
#include <charconv>
#include <limits>

#include "base/json.h"

namespace nibble {
namespace {

constexpr int64_t kMostLayers = 1'000'000;

std::vector<std::string> split(std::string_view text, char separator) {
  std::vector<std::string> parts(1);
  for (char c : text)
    if (c == separator)
      parts.emplace_back();
    else
      parts.back() += c;
  return parts;
}

// `pattern` over all of `text`, * for any characters: linear in their product.
bool glob(std::string_view pattern, std::string_view text) {
  size_t p = 0, t = 0, star = std::string_view::npos, resume = 0;
  while (t < text.size()) {
    if (p < pattern.size() && pattern[p] == '*') {
      star = p++;
      resume = t;
    } else if (p < pattern.size() && pattern[p] == text[t]) {
      ++p;
      ++t;
    } else if (star != std::string_view::npos) {
      p = star + 1;
      t = ++resume;
    } else {
      return false;
    }
  }
  return pattern.find_first_not_of('*', p) == std::string_view::npos;
}

bool name_matches(const std::string& name, const std::string& module) {
  auto tail = [&](std::string_view end) {
    return module == end || (module.size() > end.size() && module.ends_with(end) &&
                             module[module.size() - end.size() - 1] == '.');
  };
  if (name == "qkv") return tail("q_proj") || tail("k_proj") || tail("v_proj");
  if (name == "gate_up") return tail("gate_proj") || tail("up_proj");
  return name.find('*') == std::string::npos ? tail(name) : glob(name, module);
}

}  // namespace

Status ModuleSelector::parse_layers(std::string_view list) {
  auto number = [](std::string_view digits, int64_t& out) {
    auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), out);
    return error == std::errc() && end == digits.data() + digits.size() && out >= 0 &&
           out < kMostLayers;
  };
  for (const std::string& part : split(list, ',')) {
    size_t dash = part.find('-');
    std::string_view first = std::string_view(part).substr(0, dash), last = first;
    if (dash != std::string::npos) last = std::string_view(part).substr(dash + 1);
    int64_t a = 0, b = std::numeric_limits<int64_t>::max();
    bool open = dash != std::string::npos && last.empty();
    if (!number(first, a) || (!open && !number(last, b)) || b < a)
      return usage("{} is not a list of layers, as 0-3,7,10-", in_quotes(list));
    layers_.emplace_back(a, b);
  }
  return {};
}

Result<ModuleSelector> ModuleSelector::parse(const std::string& text) {
  std::vector<std::string> words;
  for (const std::string& word : split(text, ' '))
    if (!word.empty()) words.push_back(word);
  ModuleSelector s;
  for (const std::string& word : words) s.text_ += (s.text_.empty() ? "" : " ") + word;
  if (s.text_ == "rest") return s;
  if (s.text_ == "embedding" || s.text_ == "head") {
    s.kind_ = s.text_ == "head" ? Kind::kHead : Kind::kEmbedding;
    return s;
  }
  size_t at = 0;
  if (words.size() > 1 && words[0] == "layers") {
    NB_OK(s.parse_layers(words[1]));
    at = 2;
  }
  if (at < words.size()) s.names_ = split(words[at++], ',');
  bool empty_name = std::find(s.names_.begin(), s.names_.end(), "") != s.names_.end();
  if (at != words.size() || empty_name || s.is_rest() || words.back() == "layers")
    return usage(
        "{} names no modules: a rule begins with rest, embedding, head, layers 0-3, a name as "
        "down_proj, or both as layers 0-3 down_proj",
        in_quotes(text));
  return s;
}

bool ModuleSelector::matches(int64_t layer, const std::string& module) const {
  if (kind_ != Kind::kLinears) return false;
  auto has_layer = [&](const auto& range) { return range.first <= layer && layer <= range.second; };
  auto has_name = [&](const std::string& name) { return name_matches(name, module); };
  return (layers_.empty() || std::any_of(layers_.begin(), layers_.end(), has_layer)) &&
         (names_.empty() || std::any_of(names_.begin(), names_.end(), has_name));
}

}  // namespace nibble
