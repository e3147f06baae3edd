#include "text/gguf_tokenizer.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <span>

#include "text/byte_trie.h"
#include "text/gguf_pre_tokenizers.h"
#include "text/spm_merges.h"
#include "text/utf8.h"

namespace nibble {
namespace {

constexpr const char* kMark = "\xE2\x96\x81";  // U+2581, a space of SentencePiece

// tokenizer.ggml.token_type; SentencePiece's numbers.
enum class TokenType : uint8_t { kNormal = 1, kUnknown, kControl, kUserDefined, kUnused, kByte };

// The lists and settings under tokenizer.ggml.
class Metadata {
 public:
  static Result<Metadata> read(const GgufModel& model) {
    Metadata m(model);
    m.kind = m.text("model");
    const auto* tokens = m.list<std::vector<std::string_view>>("tokens");
    if (!tokens || tokens->empty())
      return fail("{}: has no list tokenizer.ggml.tokens", model.path());
    m.tokens = *tokens;
    for (size_t i = 0; i < m.tokens.size(); ++i)
      if (invalid_utf8(m.tokens[i]) || m.tokens[i].size() > ByteTrie::kLongest)
        return fail("{}: token {} is not UTF-8, or beyond {} bytes", model.path(), i,
                    ByteTrie::kLongest);
    if (const auto* types = m.list<std::vector<int64_t>>("token_type")) {
      if (types->size() != m.tokens.size())
        return fail("{}: {} tokens have {} types", model.path(), m.tokens.size(), types->size());
      for (int64_t type : *types)
        if (type < 0 || type > 6) return fail("{}: token type {} is unknown", model.path(), type);
      m.types = *types;
    }
    return m;
  }

  const std::string& path() const { return model_->path(); }
  bool is(size_t id, TokenType type) const {
    return id < types.size() && types[id] == static_cast<int64_t>(type);
  }
  std::string text(const char* key) const {
    const auto* value = model_->find<std::string_view>(full(key));
    return value ? std::string(*value) : "";
  }
  std::optional<bool> flag(const char* key) const {
    const auto* value = model_->find<bool>(full(key));
    return value ? std::optional(*value) : std::nullopt;
  }
  // NAME_token_id, where the vocabulary has it.
  std::optional<int64_t> id(const std::string& name) const {
    const auto* value = model_->find<int64_t>(full((name + "_token_id").c_str()));
    if (!value || *value < 0 || *value >= static_cast<int64_t>(tokens.size())) return std::nullopt;
    return *value;
  }
  std::string piece(int64_t id) const { return std::string(tokens[static_cast<size_t>(id)]); }
  template <class T>
  const T* list(const char* key) const {
    const auto* array = model_->find<GgufArray>(full(key));
    return array ? std::get_if<T>(array) : nullptr;
  }
  const GgufModel& model() const { return *model_; }

  std::string kind;
  std::span<const std::string_view> tokens;  // by id
  std::span<const int64_t> types;            // empty, or one for each token

 private:
  explicit Metadata(const GgufModel& model) : model_(&model) {}
  static std::string full(const char* key) { return std::string("tokenizer.ggml.") + key; }
  const GgufModel* model_;
};

bool is_sentencepiece(const Metadata& m) { return m.kind == "llama"; }

// Of Llama 3's kind: begins every text, and takes a word that is a token as it is.
bool is_llama3(const Metadata& m) {
  std::string pre = m.text("pre");
  constexpr std::array kNames = {"llama-bpe", "llama3", "llama-v3", "falcon3", "tekken"};
  return std::find(kNames.begin(), kNames.end(), pre) != kNames.end();
}

bool adds_bos(const Metadata& m) {
  bool usual = is_sentencepiece(m) || is_llama3(m);
  return m.flag("add_bos_token").value_or(usual) && m.id("bos");
}
bool adds_eos(const Metadata& m) { return m.flag("add_eos_token").value_or(false) && m.id("eos"); }

bool is_special(const Metadata& m, size_t id) {
  if (m.is(id, TokenType::kControl) || m.is(id, TokenType::kUnknown)) return true;
  if (!m.types.empty()) return false;
  auto number = static_cast<int64_t>(id);
  return m.id("bos") == number || m.id("eos") == number || m.id("unknown") == number;
}

// Phi-3's tokens of a turn take the spaces behind them with them.
bool takes_spaces(const Metadata& m, const std::string& token) {
  const auto* arch = m.model().find<std::string_view>("general.architecture");
  return arch && *arch == "phi3" && token != "<unk>" && token != "<s>" && token != "<|endoftext|>";
}

Json added_tokens(const Metadata& m) {
  Json list = Json::array();
  for (size_t id = 0; id < m.tokens.size(); ++id) {
    bool special = is_special(m, id);
    if (!special && !m.is(id, TokenType::kUserDefined)) continue;
    if (m.tokens[id].empty()) continue;
    std::string token(m.tokens[id]);
    list.push_back({{"id", id},
                    {"content", token},
                    {"single_word", false},
                    {"lstrip", false},
                    {"rstrip", takes_spaces(m, token)},
                    {"normalized", false},
                    {"special", special}});
  }
  return list;
}

Json post_processor(const Metadata& m) {
  Json single = Json::array(), tokens = Json::object();
  auto add = [&](const char* name) {
    int64_t id = *m.id(name);
    std::string text = m.piece(id);
    single.push_back({{"SpecialToken", {{"id", text}, {"type_id", 0}}}});
    tokens[text] = {{"id", text}, {"ids", {id}}, {"tokens", {text}}};
  };
  if (adds_bos(m)) add("bos");
  single.push_back({{"Sequence", {{"id", "A"}, {"type_id", 0}}}});
  if (adds_eos(m)) add("eos");
  if (tokens.empty()) return nullptr;
  Json pair = single;
  pair.push_back({{"Sequence", {{"id", "B"}, {"type_id", 1}}}});
  return {{"type", "TemplateProcessing"},
          {"single", single},
          {"pair", pair},
          {"special_tokens", tokens}};
}

Json sequence(const char* member, Json parts) {
  return {{"type", "Sequence"}, {member, std::move(parts)}};
}

Result<Json> byte_level_parts(const Metadata& m) {
  Json splits = Json::array();
  for (const char* pattern : NB_TRY(gguf_split_patterns(m.text("pre"), m.path())))
    splits.push_back({{"type", "Split"},
                      {"pattern", {{"Regex", pattern}}},
                      {"behavior", "Isolated"},
                      {"invert", false}});
  Json bytes = {{"type", "ByteLevel"},
                {"add_prefix_space", false},
                {"trim_offsets", true},
                {"use_regex", false}};
  splits.push_back(bytes);
  const auto* merges = m.list<std::vector<std::string_view>>("merges");
  if (!merges) return fail("{}: has no list tokenizer.ggml.merges", m.path());
  for (std::string_view merge : *merges)
    if (invalid_utf8(merge)) return fail("{}: a merge is not UTF-8", m.path());
  Json j;
  j["normalizer"] = nullptr;
  j["pre_tokenizer"] = sequence("pretokenizers", std::move(splits));
  j["decoder"] = bytes;
  j["model"] = {{"type", "BPE"}, {"ignore_merges", is_llama3(m)}, {"vocab", nullptr}};
  j["model"]["merges"] = *merges;
  return j;
}

Result<Json> sentencepiece_parts(const Metadata& m) {
  const auto* scores = m.list<std::vector<double>>("scores");
  if (!scores || scores->size() != m.tokens.size())
    return fail("{}: should have one tokenizer.ggml.scores for each token", m.path());
  for (double score : *scores)
    if (!std::isfinite(score)) return fail("{}: a token's score is {}", m.path(), score);
  auto unknown = std::find_if(m.types.begin(), m.types.end(), [](int64_t type) {
    return type == static_cast<int64_t>(TokenType::kUnknown);
  });
  std::vector<bool> merged(m.tokens.size());
  for (size_t id = 0; id < merged.size(); ++id) merged[id] = m.is(id, TokenType::kNormal);
  bool prefix = m.flag("add_space_prefix").value_or(true);
  Json normalizers = Json::array(), decoders = Json::array();
  if (prefix) normalizers.push_back({{"type", "Prepend"}, {"prepend", kMark}});
  normalizers.push_back({{"type", "Replace"}, {"pattern", {{"String", " "}}}, {"content", kMark}});
  decoders.push_back({{"type", "Replace"}, {"pattern", {{"String", kMark}}}, {"content", " "}});
  decoders.push_back({{"type", "ByteFallback"}});
  decoders.push_back({{"type", "Fuse"}});
  if (prefix) decoders.push_back({{"type", "Strip"}, {"content", " "}, {"start", 1}, {"stop", 0}});
  Json j;
  j["normalizer"] = sequence("normalizers", std::move(normalizers));
  j["pre_tokenizer"] = nullptr;
  j["decoder"] = sequence("decoders", std::move(decoders));
  j["model"] = {{"type", "BPE"},
                {"fuse_unk", true},
                {"byte_fallback", m.tokens.end() != std::find(m.tokens.begin(), m.tokens.end(),
                                                              std::string_view("<0x00>"))},
                {"vocab", nullptr}};
  if (unknown != m.types.end()) j["model"]["unk_token"] = m.piece(unknown - m.types.begin());
  j["model"]["merges"] = spm_merges(m.tokens, *scores, merged);
  return j;
}

}  // namespace

bool has_gguf_tokenizer(const GgufModel& model) {
  const auto* kind = model.find<std::string_view>("tokenizer.ggml.model");
  return kind && *kind != "none" && *kind != "no_vocab";
}

Result<TokenizerDocument> gguf_tokenizer(const GgufModel& model) {
  if (!has_gguf_tokenizer(model)) return fail("{}: has no tokenizer", model.path());
  Metadata m = NB_TRY(Metadata::read(model));
  if (!is_sentencepiece(m) && m.kind != "gpt2")
    return fail("{}: tokenizer.ggml.model {} is not read; known: llama, gpt2", model.path(),
                in_quotes(m.kind));
  TokenizerDocument out;
  out.json = {{"version", "1.0"}, {"truncation", nullptr}, {"padding", nullptr}};
  out.json["added_tokens"] = added_tokens(m);
  out.json.update(is_sentencepiece(m) ? NB_TRY(sentencepiece_parts(m))
                                      : NB_TRY(byte_level_parts(m)));
  out.json["post_processor"] = post_processor(m);
  for (size_t id = 0; id < m.tokens.size(); ++id)
    if (!m.tokens[id].empty())
      out.vocab.emplace_back(std::string(m.tokens[id]), static_cast<int64_t>(id));
  return out;
}

Result<Json> gguf_tokenizer_config(const GgufModel& model) {
  constexpr std::string_view kTemplate = "tokenizer.chat_template";
  Json out = Json::object();
  if (has_gguf_tokenizer(model)) {
    Metadata m = NB_TRY(Metadata::read(model));
    out["tokenizer_class"] = "PreTrainedTokenizerFast";
    for (auto [key, name] : {std::pair("bos_token", "bos"),
                             {"eos_token", "eos"},
                             {"unk_token", "unknown"},
                             {"pad_token", "padding"}})
      if (auto id = m.id(name)) out[key] = m.piece(*id);
    out["add_bos_token"] = adds_bos(m);
    out["add_eos_token"] = adds_eos(m);
  }
  Json named = Json::array();
  for (const auto& [key, value] : model.metadata()) {
    const auto* text = std::get_if<std::string_view>(&value);
    if (!text || !key.starts_with(kTemplate)) continue;
    if (invalid_utf8(*text)) return fail("{}: {} is not UTF-8", model.path(), in_quotes(key));
    std::string_view rest = std::string_view(key).substr(kTemplate.size());
    if (!rest.empty() && !rest.starts_with('.')) continue;
    named.push_back(
        {{"name", rest.empty() ? "default" : std::string(rest.substr(1))}, {"template", *text}});
  }
  if (named.size() == 1 && named[0]["name"] == "default")
    out["chat_template"] = named[0]["template"];
  else if (!named.empty())
    out["chat_template"] = named;
  return out;
}

std::vector<int64_t> gguf_end_ids(const GgufModel& model) {
  std::vector<int64_t> out;
  if (!has_gguf_tokenizer(model)) return out;
  auto m = Metadata::read(model);
  if (!m) return out;
  auto add = [&](int64_t id) {
    if (std::find(out.begin(), out.end(), id) == out.end()) out.push_back(id);
  };
  for (const char* name : {"eos", "eot", "eom"})
    if (auto id = m->id(name)) add(*id);
  constexpr std::string_view kTurns[] = {"<|eot_id|>",    "<|im_end|>",    "<|end|>",
                                         "<end_of_turn>", "<|endoftext|>", "<|eom_id|>"};
  for (size_t id = 0; id < m->tokens.size(); ++id)
    if (m->is(id, TokenType::kControl) &&
        std::find(std::begin(kTurns), std::end(kTurns), m->tokens[id]) != std::end(kTurns))
      add(static_cast<int64_t>(id));
  return out;
}

Result<std::vector<std::pair<std::string, std::string>>> gguf_side_files(const GgufModel& model) {
  std::vector<std::pair<std::string, std::string>> out;
  if (has_gguf_tokenizer(model)) {
    TokenizerDocument document = NB_TRY(gguf_tokenizer(model));
    std::string vocab;  // as JSON; a Json object of so many members would be slow to build
    for (const auto& [piece, id] : document.vocab)
      vocab += fmt::format("{}{}:{}", vocab.empty() ? "{" : ",", Json(piece).dump(), id);
    std::string text = document.json.dump();
    constexpr std::string_view kPlace = "\"vocab\":null";
    size_t at = text.rfind(kPlace);
    text.replace(at, kPlace.size(), "\"vocab\":" + vocab + "}");
    out.emplace_back("tokenizer.json", text + "\n");
  }
  Json config = NB_TRY(gguf_tokenizer_config(model));
  if (!config.empty()) out.emplace_back("tokenizer_config.json", config.dump(2) + "\n");
  return out;
}

}  // namespace nibble
