#include "text/kinds.h"

#include "text/utf8.h"

namespace nibble {

Result<std::vector<const Json*>> flatten_sequence(const Json& j, const char* member,
                                                  const std::string& what) {
  std::vector<const Json*> parts, open;
  if (!j.is_null()) open.push_back(&j);
  while (!open.empty()) {
    const Json* part = open.back();
    open.pop_back();
    if (!part->is_object()) return fail("{}: \"{}\" should hold objects", what, member);
    if (NB_TRY(get_string(*part, "type", std::nullopt, what)) != "Sequence") {
      parts.push_back(part);
      continue;
    }
    auto list = part->find(member);
    if (list == part->end() || !list->is_array())
      return fail("{}: a Sequence has no list \"{}\"", what, member);
    for (auto it = list->rbegin(); it != list->rend(); ++it) open.push_back(&*it);
  }
  return parts;
}

Result<Pattern> Pattern::read(const Json& j, const std::string& what) {
  auto it = j.find("pattern");
  if (it == j.end() || !it->is_object()) return fail("{}: \"pattern\" is missing", what);
  Pattern pattern;
  if (it->contains("Regex")) {
    pattern.regex_ =
        NB_TRY(Regex::compile(NB_TRY(get_string(*it, "Regex", std::nullopt, what)), what));
  } else {
    pattern.literal_ = NB_TRY(get_string(*it, "String", std::nullopt, what));
  }
  return pattern;
}

Result<bool> replace_all(const Pattern& pattern, std::string_view content, std::string& text) {
  std::string out;
  size_t copied = 0;
  bool any = false;
  NB_OK(pattern.for_each(text, [&](Match m) {
    any = true;
    out.append(text, copied, m.begin - copied);
    out += content;
    copied = m.end;
  }));
  if (!any) return false;
  out.append(text, copied);
  text.swap(out);
  return true;
}

Result<char32_t> get_char(const Json& j, const char* key, std::optional<std::string> fallback,
                          const std::string& what) {
  std::string s = NB_TRY(get_string(j, key, std::move(fallback), what));
  if (s.empty() || char_length(static_cast<unsigned char>(s[0])) != s.size())
    return fail("{}: \"{}\" should be one character", what, key);
  return char_at(s.data());
}

}  // namespace nibble
