// Reference: huggingface/transformers, src/transformers/models/gpt2/tokenization_gpt2.py and
// tokenization_utils_base.py (which file speaks for which token).
#include "text/vocab_merges.h"

#include <algorithm>
#include <charconv>

#include "base/file.h"
#include "text/hf_tokenizer.h"

namespace nibble {
namespace {

// What a class of transformers adds to the two files.
struct Family {
  const char* tokenizer_class;
  const char* normalizer;  // a type, or null
  const char* pattern;     // of the words; null: GPT-2's
  const char* begin;       // begin, end and unknown token where no file names them, or null
  const char* end;
};
constexpr const char* kEndOfText = "<|endoftext|>";
constexpr Family kFamilies[] = {
    {"GPT2Tokenizer", nullptr, nullptr, kEndOfText, kEndOfText},
    {"CodeGenTokenizer", nullptr, nullptr, kEndOfText, kEndOfText},
    {"Qwen2Tokenizer", "NFC",
     R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)",
     nullptr, kEndOfText},
};

// The document that tokenizer.json would hold, put together from the files of one folder.
class Folder {
 public:
  explicit Folder(std::string folder) : folder_(std::move(folder)) {}

  Status read() {
    NB_OK(read_one("tokenizer_config.json", config_));
    NB_OK(read_one("special_tokens_map.json", special_));
    NB_OK(read_one("added_tokens.json", added_));
    return choose_family();
  }
  // `vocab`: what vocab.json says.
  Result<Json> document(const VocabEntries& vocab);
  // The spelling of the begin or end token; empty where there is none.
  Result<std::string> token(const char* key) const;

 private:
  Status read_one(const char* name, Json& into) {
    into = Json::object();
    if (!path_exists(path(name))) return {};
    into = NB_TRY(read_json(path(name)));
    return into.is_object() ? Status{} : fail("{}: should hold a JSON object", path(name));
  }
  std::string path(const char* name) const { return folder_ + "/" + name; }
  Status choose_family();
  Result<Json> merges() const;
  Json pre_tokenizer(bool prefix_space) const;
  Status add_known_tokens(const VocabEntries& vocab);
  Status add_special(const Json& token);
  void add_token(int64_t id, std::string_view content, bool special, const Json& flags);
  Result<int64_t> id_of(const std::string& content) const;

  std::string folder_;
  Json config_, special_, added_;
  const Family* family_ = nullptr;
  const VocabEntries* vocab_ = nullptr;
  Json tokens_ = Json::array();  // tokenizer.json's added_tokens
  int64_t next_id_ = 0;
};

// A folder may leave the class out; then the model says whose vocabulary it is.
Status Folder::choose_family() {
  std::string name =
      NB_TRY(get_string(config_, "tokenizer_class", "", path("tokenizer_config.json")));
  if (name.ends_with("Fast")) name.resize(name.size() - 4);
  if (name.empty()) {
    Json model;
    NB_OK(read_one("config.json", model));
    std::string type = NB_TRY(get_string(model, "model_type", "", path("config.json")));
    name = type.starts_with("qwen") ? "Qwen2Tokenizer" : "GPT2Tokenizer";
  }
  std::string known;
  for (const Family& f : kFamilies) {
    if (name == f.tokenizer_class) family_ = &f;
    known += fmt::format("{}{}", known.empty() ? "" : ", ", f.tokenizer_class);
  }
  if (family_) return {};
  return fail(
      "{}: a {} of vocab.json and merges.txt is not known; known: {}. Save its tokenizer.json",
      folder_, in_quotes(name), known);
}

Result<Json> Folder::merges() const {
  std::string text = NB_TRY(read_file(path("merges.txt")));
  Json out = Json::array();
  for (std::string_view rest = text; !rest.empty();) {
    size_t end = std::min(rest.find('\n'), rest.size());
    std::string_view line = rest.substr(0, end);
    rest.remove_prefix(std::min(end + 1, rest.size()));
    if (line.ends_with('\r')) line.remove_suffix(1);
    if (line.empty() || line.starts_with("#version")) continue;
    out.push_back(line);
  }
  return out;
}

Json Folder::pre_tokenizer(bool prefix_space) const {
  Json bytes = {{"type", "ByteLevel"},
                {"add_prefix_space", prefix_space},
                {"use_regex", family_->pattern == nullptr}};
  if (!family_->pattern) return bytes;
  Json split = {
      {"type", "Split"}, {"pattern", {{"Regex", family_->pattern}}}, {"behavior", "Isolated"}};
  return {{"type", "Sequence"}, {"pretokenizers", {split, bytes}}};
}

Result<std::string> Folder::token(const char* key) const {
  for (const Json* file : {&special_, &config_}) {
    auto it = file->find(key);
    if (it == file->end() || it->is_null()) continue;
    const char* name = file == &special_ ? "special_tokens_map.json" : "tokenizer_config.json";
    if (it->is_object()) return get_string(*it, "content", std::nullopt, path(name));
    return get_string(*file, key, std::nullopt, path(name));
  }
  bool begin = std::string_view(key) == "bos_token";
  bool usual = begin || std::string_view(key) == "eos_token";
  const char* fallback = !usual ? nullptr : begin ? family_->begin : family_->end;
  return std::string(fallback && id_of(fallback) ? fallback : "");
}

Result<int64_t> Folder::id_of(const std::string& content) const {
  for (const Json& t : tokens_)
    if (t["content"] == content) return t["id"].get<int64_t>();
  for (const auto& [piece, id] : *vocab_)
    if (piece == content) return id;
  return fail("{}: no token {}", folder_, in_quotes(content));
}

void Folder::add_token(int64_t id, std::string_view content, bool special, const Json& flags) {
  Json token = {{"id", id}, {"content", content}, {"special", special}};
  for (const char* key : {"single_word", "lstrip", "rstrip", "normalized"})
    if (flags.is_object() && flags.contains(key)) token[key] = flags[key];
  next_id_ = std::max(next_id_, id + 1);
  tokens_.push_back(std::move(token));
}

// Those that a file gives with their ids.
Status Folder::add_known_tokens(const VocabEntries& vocab) {
  vocab_ = &vocab;
  for (const auto& entry : vocab) next_id_ = std::max(next_id_, entry.second + 1);
  std::string what = path("tokenizer_config.json");
  auto decoder = config_.find("added_tokens_decoder");
  if (decoder != config_.end() && decoder->is_object()) {
    for (const auto& [key, token] : decoder->items()) {
      int64_t id = 0;
      auto [end, error] = std::from_chars(key.data(), key.data() + key.size(), id);
      if (error != std::errc() || end != key.data() + key.size() || !token.is_object())
        return fail("{}: added_tokens_decoder: {} is no id of a token", what, in_quotes(key));
      add_token(id, NB_TRY(get_string(token, "content", std::nullopt, what)),
                NB_TRY(get_bool(token, "special", false, what)), token);
    }
    return {};
  }
  for (const auto& [content, id] : added_.items())
    add_token(NB_TRY(get_int(added_, content.c_str(), std::nullopt, path("added_tokens.json"))),
              content, false, Json());
  return {};
}

// A token that a file calls special, as a text or an object; one without an id gets the next.
Status Folder::add_special(const Json& token) {
  std::string content = token.is_string() ? token.get<std::string>() : "";
  if (token.is_object()) content = NB_TRY(get_string(token, "content", "", folder_));
  if (content.empty()) return {};
  for (Json& t : tokens_) {
    if (t["content"] != content) continue;
    t["special"] = true;
    return {};
  }
  auto id = id_of(content);
  add_token(id ? *id : next_id_, content, true, token);
  tokens_.back()["normalized"] = false;
  return {};
}

Result<Json> Folder::document(const VocabEntries& vocab) {
  NB_OK(add_known_tokens(vocab));
  for (const char* key :
       {"bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token"})
    NB_OK(add_special(NB_TRY(token(key))));
  for (const Json* file : {&special_, &config_})
    for (const char* key : {"additional_special_tokens", "extra_special_tokens"})
      if (auto list = file->find(key); list != file->end() && list->is_array())
        for (const Json& t : *list) NB_OK(add_special(t));
  std::string what = path("tokenizer_config.json");
  bool prefix_space = NB_TRY(get_bool(config_, "add_prefix_space", false, what));
  Json out = {{"added_tokens", tokens_},
              {"pre_tokenizer", pre_tokenizer(prefix_space)},
              {"decoder", {{"type", "ByteLevel"}}},
              {"model", {{"type", "BPE"}, {"merges", NB_TRY(merges())}}}};
  if (family_->normalizer) out["normalizer"] = {{"type", family_->normalizer}};
  std::string begin = NB_TRY(token("bos_token"));
  if (begin.empty() || !NB_TRY(get_bool(config_, "add_bos_token", false, what))) return out;
  Json piece = {{"SpecialToken", {{"id", begin}}}}, text = {{"Sequence", {{"id", "A"}}}};
  out["post_processor"] = {{"type", "TemplateProcessing"},
                           {"single", Json::array({piece, text})},
                           {"special_tokens", {{begin, {{"ids", {NB_TRY(id_of(begin))}}}}}}};
  return out;
}

}  // namespace

Result<std::unique_ptr<Tokenizer>> load_vocab_merges(const std::string& path) {
  size_t slash = path.rfind('/');
  Folder folder(slash == path.npos ? "." : path.substr(0, slash));
  NB_OK(folder.read());
  VocabEntries vocab = NB_TRY(parse_vocab(NB_TRY(read_file(path)), path));
  Json document = NB_TRY(folder.document(vocab));
  auto tokenizer = NB_TRY(make_hf_tokenizer(document, vocab, path));
  if (std::string begin = NB_TRY(folder.token("bos_token")); !begin.empty())
    tokenizer->bos = tokenizer->id_of(begin);
  if (std::string end = NB_TRY(folder.token("eos_token")); !end.empty())
    tokenizer->eos = tokenizer->id_of(end);
  return tokenizer;
}

}  // namespace nibble
