#include "text/gguf_tokenizer.h"

#include <algorithm>
#include <cmath>

#include "text/gguf_pre_tokenizers.h"
#include "text/gguf_vocabulary.h"
#include "text/spm_merges.h"
#include "text/utf8.h"

namespace nibble {
namespace {

constexpr const char* kMark = "\xE2\x96\x81";  // U+2581, a space of SentencePiece

bool is_special(const GgufVocabulary& m, size_t id) {
  if (m.is(id, TokenType::kControl) || m.is(id, TokenType::kUnknown)) return true;
  if (!m.types.empty()) return false;
  auto number = static_cast<int64_t>(id);
  return m.id("bos") == number || m.id("eos") == number || m.id("unknown") == number;
}

// Phi-3's tokens of a turn take the spaces behind them with them.
bool takes_spaces(const GgufVocabulary& m, const std::string& token) {
  const auto* arch = m.model().find<std::string_view>("general.architecture");
  return arch && *arch == "phi3" && token != "<unk>" && token != "<s>" && token != "<|endoftext|>";
}

Json added_tokens(const GgufVocabulary& m) {
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

Json post_processor(const GgufVocabulary& m) {
  Json single = Json::array(), tokens = Json::object();
  auto add = [&](const char* name) {
    int64_t id = *m.id(name);
    std::string text = m.piece(id);
    single.push_back({{"SpecialToken", {{"id", text}, {"type_id", 0}}}});
    tokens[text] = {{"id", text}, {"ids", {id}}, {"tokens", {text}}};
  };
  if (m.adds_bos()) add("bos");
  single.push_back({{"Sequence", {{"id", "A"}, {"type_id", 0}}}});
  if (m.adds_eos()) add("eos");
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

Result<Json> byte_level_parts(const GgufVocabulary& m) {
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
  j["model"] = {{"type", "BPE"}, {"ignore_merges", m.llama3()}, {"vocab", nullptr}};
  j["model"]["merges"] = *merges;
  return j;
}

Result<Json> sentencepiece_parts(const GgufVocabulary& m) {
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
  GgufVocabulary m = NB_TRY(GgufVocabulary::read(model));
  if (!m.sentencepiece() && m.kind != "gpt2")
    return fail("{}: tokenizer.ggml.model {} is not read; known: llama, gpt2", model.path(),
                in_quotes(m.kind));
  TokenizerDocument out;
  out.json = {{"version", "1.0"}, {"truncation", nullptr}, {"padding", nullptr}};
  out.json["added_tokens"] = added_tokens(m);
  out.json.update(m.sentencepiece() ? NB_TRY(sentencepiece_parts(m)) : NB_TRY(byte_level_parts(m)));
  out.json["post_processor"] = post_processor(m);
  for (size_t id = 0; id < m.tokens.size(); ++id)
    if (!m.tokens[id].empty())
      out.vocab.emplace_back(std::string(m.tokens[id]), static_cast<int64_t>(id));
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
