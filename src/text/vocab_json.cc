#include "text/vocab_json.h"

#include <optional>

#include "base/json.h"

namespace nibble {
namespace {

// Takes {"spelling": id, ...} and nothing else.
class VocabSax : public nlohmann::json_sax<Json> {
 public:
  VocabEntries entries;

  bool number_integer(number_integer_t v) override { return take(v); }
  bool number_unsigned(number_unsigned_t v) override {
    return v <= uint64_t{INT64_MAX} && take(static_cast<int64_t>(v));
  }
  bool key(string_t& v) override {
    entries.emplace_back(std::move(v), -1);
    return true;
  }
  bool start_object(std::size_t) override { return depth_++ == 0; }
  bool end_object() override { return true; }
  bool null() override { return false; }
  bool boolean(bool) override { return false; }
  bool number_float(number_float_t, const string_t&) override { return false; }
  bool string(string_t&) override { return false; }
  bool binary(binary_t&) override { return false; }
  bool start_array(std::size_t) override { return false; }
  bool end_array() override { return false; }
  bool parse_error(std::size_t, const std::string&, const nlohmann::json::exception&) override {
    return false;
  }

 private:
  bool take(int64_t id) {
    if (entries.empty()) return false;
    entries.back().second = id;
    return true;
  }
  int depth_ = 0;
};

size_t skip_space(std::string_view json, size_t i) {
  while (i < json.size() &&
         (json[i] == ' ' || json[i] == '\n' || json[i] == '\t' || json[i] == '\r'))
    ++i;
  return i;
}

// The place of the quote that ends the string begun at `open`; the text's size where none does.
size_t string_end(std::string_view json, size_t open) {
  size_t i = open + 1;
  while (i < json.size() && json[i] != '"') i += json[i] == '\\' ? 2 : 1;
  return std::min(i, json.size());
}

// The place after the bracket that closes the object begun at `open`; nothing where none does.
std::optional<size_t> object_end(std::string_view json, size_t open) {
  size_t depth = 0;
  for (size_t i = open; i < json.size(); ++i) {
    if (json[i] == '"')
      i = string_end(json, i);
    else if (json[i] == '{')
      ++depth;
    else if (json[i] == '}' && --depth == 0)
      return i + 1;
  }
  return std::nullopt;
}

// Where the object at model.vocab begins.
std::optional<size_t> find_vocab(std::string_view json) {
  int depth = 0;
  bool in_model = false;
  for (size_t i = 0; i < json.size(); ++i) {
    char c = json[i];
    if (c == '{' || c == '[') ++depth;
    if (c == '}' || c == ']') --depth;
    if (c != '"') continue;
    size_t end = string_end(json, i);
    std::string_view name = json.substr(i + 1, end - i - 1);
    i = end;
    size_t colon = skip_space(json, end + 1);
    if (colon >= json.size() || json[colon] != ':') continue;
    if (depth == 1) in_model = name == "model";
    if (depth != 2 || !in_model || name != "vocab") continue;
    size_t value = skip_space(json, colon + 1);
    if (value < json.size() && json[value] == '{') return value;
  }
  return std::nullopt;
}

}  // namespace

Result<VocabEntries> parse_vocab(std::string_view json, const std::string& what) {
  VocabSax sax;
  sax.entries.reserve(json.size() / 24);
  if (!Json::sax_parse(json.begin(), json.end(), &sax)) {
    std::string after =
        sax.entries.empty() ? "" : fmt::format(" at \"{}\"", sax.entries.back().first);
    return fail("{}: \"vocab\" should map texts to whole numbers, and does not{}", what,
                after.substr(0, 80));
  }
  return std::move(sax.entries);
}

Result<VocabEntries> cut_vocab(std::string& json, const std::string& what) {
  auto begin = find_vocab(json);
  auto end = begin ? object_end(json, *begin) : std::nullopt;
  if (!end) return VocabEntries{};
  auto entries = NB_TRY(parse_vocab(std::string_view(json).substr(*begin, *end - *begin), what));
  json.replace(*begin, *end - *begin, "null");
  return entries;
}

}  // namespace nibble
