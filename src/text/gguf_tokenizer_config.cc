// What tokenizer_config.json says, of a GGUF file.
#include <algorithm>

#include "text/gguf_tokenizer.h"
#include "text/gguf_vocabulary.h"
#include "text/utf8.h"

namespace nibble {

Result<Json> gguf_tokenizer_config(const GgufModel& model) {
  constexpr std::string_view kTemplate = "tokenizer.chat_template";
  Json out = Json::object();
  if (has_gguf_tokenizer(model)) {
    GgufVocabulary m = NB_TRY(GgufVocabulary::read(model));
    out["tokenizer_class"] = "PreTrainedTokenizerFast";
    for (auto [key, name] : {std::pair("bos_token", "bos"),
                             {"eos_token", "eos"},
                             {"unk_token", "unknown"},
                             {"pad_token", "padding"}})
      if (auto id = m.id(name)) out[key] = m.piece(*id);
    out["add_bos_token"] = m.adds_bos();
    out["add_eos_token"] = m.adds_eos();
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
  auto m = GgufVocabulary::read(model);
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

}  // namespace nibble
