#include "export/gguf_tokenizer.h"

#include <algorithm>

#include "base/file.h"
#include "export/gguf_pre_tokenizer.h"
#include "formats/gguf_model.h"
#include "jinja/chat_template.h"
#include "text/spm_model.h"
#include "text/tokenizer.h"
#include "text/vocab_json.h"

namespace nibble {
namespace {

using Type = SpmModel::Type;  // tokenizer.ggml.token_type has these numbers

constexpr float kAddedScore = -1000, kPadScore = -10000;

// Tokens by id; ids that the vocabulary lacks stay unused.
struct Tokens {
  explicit Tokens(int64_t count) : texts(static_cast<size_t>(count)) {
    for (size_t i = 0; i < texts.size(); ++i) texts[i] = fmt::format("[PAD{}]", i);
    types.assign(texts.size(), static_cast<int32_t>(Type::kUnused));
    scores.assign(texts.size(), kPadScore);
  }
  Status set(int64_t id, std::string_view text, Type type, float score, const std::string& where) {
    if (id < 0 || id >= static_cast<int64_t>(texts.size()))
      return fail("{}: token {} has id {}, beyond the model's vocabulary of {}", where,
                  in_quotes(text), id, texts.size());
    auto i = static_cast<size_t>(id);
    texts[i] = text;
    types[i] = static_cast<int32_t>(type);
    scores[i] = score;
    return {};
  }
  std::vector<std::string> texts;
  std::vector<int32_t> types;
  std::vector<float> scores;
};

// llama.cpp takes what looks so for a control token, whatever the tokenizer says.
bool looks_special(std::string_view text) {
  return (text.starts_with("<|") && text.ends_with("|>")) ||
         (text.starts_with("<｜") && text.ends_with("｜>")) || text.starts_with("<unused");
}

Status add_added(const Json& list, const std::string& where, Tokens& out) {
  if (list.is_null()) return {};
  if (!list.is_array()) return fail("{}: \"added_tokens\" should be a list", where);
  for (const Json& one : list) {
    int64_t id = NB_TRY(get_int(one, "id", std::nullopt, where));
    std::string text = NB_TRY(get_string(one, "content", std::nullopt, where));
    bool special = NB_TRY(get_bool(one, "special", false, where)) || looks_special(text);
    NB_OK(out.set(id, text, special ? Type::kControl : Type::kUserDefined, kAddedScore, where));
  }
  return {};
}

const Json& member(const Json& j, const char* key) {
  static const Json kNull;
  auto it = j.is_object() ? j.find(key) : j.end();
  return it == j.end() ? kNull : *it;
}

// Merges are pairs, or texts with a space between.
Result<std::vector<std::string>> merges_of(const Json& model, const std::string& where) {
  std::vector<std::string> out;
  const Json& merges = member(model, "merges");
  if (!merges.is_array()) return fail("{}: the BPE model has no merges", where);
  for (const Json& m : merges) {
    if (m.is_string()) {
      out.push_back(m.get<std::string>());
    } else if (m.is_array() && m.size() == 2 && m[0].is_string() && m[1].is_string()) {
      out.push_back(m[0].get<std::string>() + " " + m[1].get<std::string>());
    } else {
      return fail("{}: a merge should be two pieces", where);
    }
  }
  return out;
}

struct HfDocument {
  Json json;
  VocabEntries vocab;
};
Result<HfDocument> read_document(const std::string& path) {
  std::string text = NB_TRY(read_file(path));
  HfDocument out;
  out.vocab = NB_TRY(cut_vocab(text, path));
  out.json = NB_TRY(parse_json(text, path));
  return out;
}

Status describe_bpe(const std::string& path, const DecoderConfig& c, GgufMetadata& out,
                    std::vector<std::string>& notes) {
  HfDocument document = NB_TRY(read_document(path));
  const Json& model = member(document.json, "model");
  std::string kind = NB_TRY(get_string(model, "type", "BPE", path));
  if (kind != "BPE" || member(model, "byte_fallback") == true)
    return fail("{}: llama.cpp reads {} tokenizers from tokenizer.model alone, and there is none",
                path, kind == "BPE" ? "SentencePiece's" : kind);
  std::string pre = NB_TRY(gguf_pre_tokenizer(document.json, c.model_type, path));
  if (const Json& normalizer = member(document.json, "normalizer"); !normalizer.is_null()) {
    if (!normalizer.is_object()) return fail("{}: \"normalizer\" should be an object", path);
    notes.push_back(fmt::format("llama.cpp leaves out the tokenizer's normalizer ({}).",
                                NB_TRY(get_string(normalizer, "type", "unnamed", path))));
  }
  Tokens tokens(c.vocab);
  for (const auto& [text, id] : document.vocab) NB_OK(tokens.set(id, text, Type::kNormal, 0, path));
  NB_OK(add_added(member(document.json, "added_tokens"), path, tokens));
  out.text("tokenizer.ggml.model", "gpt2");
  out.text("tokenizer.ggml.pre", pre);
  out.texts("tokenizer.ggml.tokens", tokens.texts);
  out.integers("tokenizer.ggml.token_type", tokens.types);
  out.texts("tokenizer.ggml.merges", NB_TRY(merges_of(model, path)));
  return {};
}

Status describe_sentencepiece(const std::string& folder, const DecoderConfig& c,
                              GgufMetadata& out) {
  std::string path = folder + "/tokenizer.model";
  std::string bytes = NB_TRY(read_file(path));
  SpmModel model = NB_TRY(SpmModel::parse(bytes, path));
  if (model.kind != SpmModel::Kind::kBpe)
    return fail("{}: llama.cpp reads SentencePiece BPE for decoders, and this is no BPE", path);
  Tokens tokens(c.vocab);
  for (size_t i = 0; i < model.pieces.size() && i < tokens.texts.size(); ++i) {
    const SpmModel::Piece& p = model.pieces[i];
    NB_OK(tokens.set(static_cast<int64_t>(i), p.text, p.type, p.score, path));
  }
  std::string json = folder + "/tokenizer.json";
  if (path_exists(json))
    NB_OK(add_added(member(NB_TRY(read_document(json)).json, "added_tokens"), json, tokens));
  out.text("tokenizer.ggml.model", "llama");
  out.text("tokenizer.ggml.pre", "default");
  out.texts("tokenizer.ggml.tokens", tokens.texts);
  out.reals("tokenizer.ggml.scores", tokens.scores);
  out.integers("tokenizer.ggml.token_type", tokens.types);
  out.flag("tokenizer.ggml.add_space_prefix", model.add_dummy_prefix);
  return {};
}

// Ids of special tokens, and what encoding puts around a text: seen by encoding one.
Status describe_special(const std::string& folder, const DecoderConfig& c, GgufMetadata& out) {
  auto tokenizer = NB_TRY(load_tokenizer(folder));
  auto id = [&](const char* name, std::optional<int32_t> value) {
    if (value && *value >= 0 && *value < c.vocab)
      out.number(fmt::format("tokenizer.ggml.{}_token_id", name), *value);
  };
  std::optional<int32_t> bos = tokenizer->bos, eos = tokenizer->eos;
  if (!bos && c.bos >= 0) bos = c.bos;
  if (!eos && !c.eos.empty()) eos = c.eos[0];
  id("bos", bos);
  id("eos", eos);
  std::string path = folder + "/tokenizer_config.json";
  if (path_exists(path)) {
    Json config = NB_TRY(read_json(path));
    for (auto [key, name] : {std::pair("unk_token", "unknown"), {"pad_token", "padding"}}) {
      const Json& token = member(config, key);
      const Json& text = token.is_object() ? member(token, "content") : token;
      if (text.is_string()) id(name, tokenizer->id_of(text.get<std::string>()));
    }
  }
  std::vector<int32_t> bare = NB_TRY(tokenizer->encode("a", false));
  std::vector<int32_t> full = NB_TRY(tokenizer->encode("a", true));
  out.flag("tokenizer.ggml.add_bos_token", full.size() > bare.size() && bos && full[0] == *bos);
  out.flag("tokenizer.ggml.add_eos_token",
           full.size() > bare.size() && eos && full.back() == *eos && bare.back() != *eos);
  return {};
}

// One that is in GGUF already, key by key.
Status copy_tokenizer(const std::string& path, GgufMetadata& out) {
  GgufModel model = NB_TRY(GgufModel::open(path));
  for (const auto& [key, value] : model.metadata()) {
    if (!key.starts_with("tokenizer.")) continue;
    if (const auto* v = std::get_if<int64_t>(&value)) out.number(key, *v);
    if (const auto* v = std::get_if<double>(&value)) out.real(key, *v);
    if (const auto* v = std::get_if<bool>(&value)) out.flag(key, *v);
    if (const auto* v = std::get_if<std::string_view>(&value)) out.text(key, *v);
    const auto* array = std::get_if<GgufArray>(&value);
    if (!array) continue;
    if (const auto* v = std::get_if<std::vector<int64_t>>(array))
      out.integers(key, std::vector<int32_t>(v->begin(), v->end()));
    if (const auto* v = std::get_if<std::vector<double>>(array))
      out.reals(key, std::vector<float>(v->begin(), v->end()));
    if (const auto* v = std::get_if<std::vector<std::string_view>>(array))
      out.texts(key, std::vector<std::string>(v->begin(), v->end()));
  }
  return {};
}

}  // namespace

Status describe_gguf_tokenizer(const std::string& folder, const DecoderConfig& c, GgufMetadata& out,
                               std::vector<std::string>& notes) {
  if (is_gguf_model(folder)) return copy_tokenizer(folder, out);
  std::string json = folder + "/tokenizer.json";
  bool sentencepiece = path_exists(folder + "/tokenizer.model");
  if (!sentencepiece && !path_exists(json)) {
    out.text("tokenizer.ggml.model", "none");
    notes.emplace_back("There is no tokenizer in it: it takes token ids.");
    return {};
  }
  if (sentencepiece)
    NB_OK(describe_sentencepiece(folder, c, out));
  else
    NB_OK(describe_bpe(json, c, out, notes));
  NB_OK(describe_special(folder, c, out));
  if (auto form = ChatTemplate::load(folder)) out.text("tokenizer.chat_template", form->source());
  return {};
}

}  // namespace nibble
