#include "base/json.h"

#include <unordered_set>
#include <vector>

#include "base/file.h"

namespace nibble {
namespace {

// Builds the document from the parser's events. nlohmann's own builder looks every new key of an
// ordered object up by a linear search (39 s for a vocabulary of 130,000 tokens), keeps duplicate
// keys quiet and nests without bound.
class Builder : public nlohmann::json_sax<Json> {
 public:
  bool null() override { return add(nullptr); }
  bool boolean(bool v) override { return add(v); }
  bool number_integer(int64_t v) override { return add(v); }
  bool number_unsigned(uint64_t v) override { return add(v); }
  bool number_float(double v, const std::string&) override { return add(v); }
  bool string(std::string& v) override { return add(std::move(v)); }
  bool binary(Json::binary_t&) override { return false; }
  bool start_object(size_t) override { return open(Json::object()); }
  bool start_array(size_t) override { return open(Json::array()); }
  bool end_object() override { return close(); }
  bool end_array() override { return close(); }
  bool key(std::string& k) override {
    if (!open_.back().keys.insert(k).second)
      return refuse(fmt::format("key {} appears twice", in_quotes(k)));
    key_ = std::move(k);
    return true;
  }
  bool parse_error(size_t position, const std::string&, const Json::exception&) override {
    return refuse(fmt::format("not valid JSON at byte {}", position));
  }

  Json root;
  std::string problem;

 private:
  static constexpr size_t kMaxDepth = 64;
  struct Level {
    Json* value;
    std::unordered_set<std::string> keys;
  };

  bool refuse(std::string why) {
    if (problem.empty()) problem = std::move(why);
    return false;
  }
  Json* place(Json value) {
    if (open_.empty()) {
      root = std::move(value);
      return &root;
    }
    Json* parent = open_.back().value;
    if (parent->is_array()) {
      parent->push_back(std::move(value));
      return &parent->back();
    }
    auto& members = static_cast<Json::object_t::Container&>(*parent->get_ptr<Json::object_t*>());
    return &members.emplace_back(std::move(key_), std::move(value)).second;
  }
  bool add(Json value) {
    place(std::move(value));
    return true;
  }
  bool open(Json value) {
    if (open_.size() == kMaxDepth)
      return refuse(fmt::format("JSON nested deeper than {}", kMaxDepth));
    open_.push_back({place(std::move(value)), {}});
    return true;
  }
  bool close() {
    open_.pop_back();
    return true;
  }

  std::vector<Level> open_;
  std::string key_;
};

// The member at key, or null where it is absent, null, or j is no object.
const Json* find(const Json& j, const char* key) {
  if (!j.is_object()) return nullptr;
  auto it = j.find(key);
  return it == j.end() || it->is_null() ? nullptr : &*it;
}

template <class T>
Result<T> absent(const std::optional<T>& fallback, const char* key, const std::string& what) {
  if (fallback) return *fallback;
  return fail("{}: \"{}\" is missing", what, key);
}

}  // namespace

std::string in_quotes(std::string_view text) {
  constexpr size_t kShown = 120;
  std::string out = Json(text.substr(0, kShown))
                        .dump(-1, ' ', /*ensure_ascii=*/true, Json::error_handler_t::replace);
  return text.size() > kShown ? out + "..." : out;
}

Result<Json> parse_json(std::string_view text, const std::string& what) {
  // nlohmann takes a NUL for the end and would let anything follow it.
  size_t nul = text.find('\0');
  if (nul != text.npos) return fail("{}: not valid JSON at byte {}", what, nul);
  Builder builder;
  bool good = Json::sax_parse(text.begin(), text.end(), &builder);
  if (good) return std::move(builder.root);
  return fail("{}: {}", what, builder.problem.empty() ? "not valid JSON" : builder.problem);
}

Result<Json> read_json(const std::string& path) {
  return parse_json(NB_TRY(read_file(path)), path);
}

Result<int64_t> get_int(const Json& j, const char* key, std::optional<int64_t> fallback,
                        const std::string& what) {
  const Json* v = find(j, key);
  if (!v) return absent(fallback, key, what);
  if (v->is_number_unsigned() && v->get<uint64_t>() <= uint64_t{INT64_MAX})
    return v->get<int64_t>();
  if (v->is_number_integer() && !v->is_number_unsigned()) return v->get<int64_t>();
  return fail("{}: \"{}\" should be a whole number, is {}", what, key, in_quotes(v->dump()));
}

Result<double> get_number(const Json& j, const char* key, std::optional<double> fallback,
                          const std::string& what) {
  const Json* v = find(j, key);
  if (!v) return absent(fallback, key, what);
  if (!v->is_number()) return fail("{}: \"{}\" should be a number", what, key);
  return v->get<double>();
}

Result<bool> get_bool(const Json& j, const char* key, std::optional<bool> fallback,
                      const std::string& what) {
  const Json* v = find(j, key);
  if (!v) return absent(fallback, key, what);
  if (!v->is_boolean()) return fail("{}: \"{}\" should be true or false", what, key);
  return v->get<bool>();
}

Result<std::string> get_string(const Json& j, const char* key, std::optional<std::string> fallback,
                               const std::string& what) {
  const Json* v = find(j, key);
  if (!v) return absent(fallback, key, what);
  if (!v->is_string()) return fail("{}: \"{}\" should be a text", what, key);
  return v->get<std::string>();
}

}  // namespace nibble
