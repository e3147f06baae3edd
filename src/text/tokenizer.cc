#include "text/tokenizer.h"

#include "base/file.h"
#include "base/json.h"
#include "text/gguf_tokenizer.h"
#include "text/hf_tokenizer.h"
#include "text/sentencepiece.h"
#include "text/vocab_merges.h"

namespace nibble {
namespace {

// What tokenizer_config.json says, where it is there.
struct Config {
  std::string path;
  std::string bos, eos;  // empty: not named
  std::optional<bool> add_bos, add_eos;
};

// A token is given as a text, or as an object with its content.
Result<std::string> token_name(const Json& json, const char* key, const std::string& what) {
  auto it = json.find(key);
  if (it != json.end() && it->is_object()) return get_string(*it, "content", "", what);
  return get_string(json, key, "", what);
}

Result<std::optional<bool>> optional_bool(const Json& json, const char* key,
                                          const std::string& what) {
  auto it = json.find(key);
  if (it == json.end() || it->is_null()) return std::nullopt;
  return NB_TRY(get_bool(json, key, std::nullopt, what));
}

Result<Config> parse_config(const Json& json, const std::string& path) {
  Config config;
  config.path = path;
  if (!json.is_object()) return fail("{}: should hold a JSON object", path);
  config.bos = NB_TRY(token_name(json, "bos_token", path));
  config.eos = NB_TRY(token_name(json, "eos_token", path));
  config.add_bos = NB_TRY(optional_bool(json, "add_bos_token", path));
  config.add_eos = NB_TRY(optional_bool(json, "add_eos_token", path));
  return config;
}

Result<Config> read_config(const std::string& path) {
  if (path_exists(path)) return parse_config(NB_TRY(read_json(path)), path);
  Config config;
  config.path = path;
  return config;
}

Status set_token(const Tokenizer& tokenizer, const std::string& name, const Config& config,
                 std::optional<int32_t>& id) {
  if (name.empty()) return {};
  id = tokenizer.id_of(name);
  if (!id) return fail("{}: token \"{}\" is not in the vocabulary", config.path, name);
  return {};
}

std::string folder_of(const std::string& path) {
  size_t slash = path.rfind('/');
  return slash == path.npos ? "." : path.substr(0, slash);
}

Result<std::string> tokenizer_file(const std::string& path) {
  if (!is_folder(path)) return path;
  for (const char* name : {"/tokenizer.json", "/tokenizer.model", "/vocab.json"})
    if (path_exists(path + name)) return path + name;
  return fail("{}: holds neither tokenizer.json nor tokenizer.model nor vocab.json", path);
}

// A file that says that no begin goes before a text has none for its user either.
Result<std::unique_ptr<Tokenizer>> load_gguf(const std::string& path) {
  GgufModel model = NB_TRY(GgufModel::open(path));
  TokenizerDocument document = NB_TRY(gguf_tokenizer(model));
  Config config = NB_TRY(parse_config(NB_TRY(gguf_tokenizer_config(model)), path));
  auto tokenizer = NB_TRY(make_hf_tokenizer(document.json, document.vocab, path));
  if (config.add_bos.value_or(false))
    NB_OK(set_token(*tokenizer, config.bos, config, tokenizer->bos));
  NB_OK(set_token(*tokenizer, config.eos, config, tokenizer->eos));
  return tokenizer;
}

}  // namespace

bool has_tokenizer(const std::string& path) {
  if (is_gguf_model(path)) {
    auto model = GgufModel::open(path);
    return model && has_gguf_tokenizer(*model);
  }
  return is_folder(path) && tokenizer_file(path).has_value();
}

Result<std::unique_ptr<Tokenizer>> load_tokenizer(const std::string& path) {
  if (is_gguf_model(path)) return load_gguf(path);
  std::string file = NB_TRY(tokenizer_file(path));
  Config config = NB_TRY(read_config(folder_of(file) + "/tokenizer_config.json"));
  auto tokenizer = file.ends_with("vocab.json") ? NB_TRY(load_vocab_merges(file))
                   : file.ends_with(".json")
                       ? NB_TRY(load_hf_tokenizer(file))
                       : NB_TRY(load_sentencepiece(file, {config.add_bos, config.add_eos}));
  NB_OK(set_token(*tokenizer, config.bos, config, tokenizer->bos));
  NB_OK(set_token(*tokenizer, config.eos, config, tokenizer->eos));
  return tokenizer;
}

}  // namespace nibble
