#include "runtime/text_model.h"

#include <algorithm>

#include "base/file.h"
#include "base/json.h"

namespace nibble {
namespace {

constexpr int64_t kMaxConfigBytes = 1 << 20;

Status add_eos(const Json& value, const std::string& what, int64_t vocab,
               std::vector<int32_t>& out) {
  if (value.is_array()) {
    for (const Json& v : value) {
      if (v.is_array()) return fail("{}: \"eos_token_id\" is a list in a list", what);
      NB_OK(add_eos(v, what, vocab, out));
    }
    return {};
  }
  if (!value.is_number_integer() || value.get<int64_t>() < 0 || value.get<int64_t>() >= vocab)
    return fail("{}: \"eos_token_id\" {} is outside the vocabulary of {}", what,
                in_quotes(value.dump()), vocab);
  auto id = static_cast<int32_t>(value.get<int64_t>());
  if (std::find(out.begin(), out.end(), id) == out.end()) out.push_back(id);
  return {};
}

}  // namespace

Result<std::vector<int32_t>> end_of_text_ids(const std::string& folder, const DecoderConfig& config,
                                             const Tokenizer* tokenizer) {
  std::vector<int32_t> eos = config.eos;
  std::string path = folder + "/generation_config.json";
  if (path_exists(path)) {
    Json json = NB_TRY(parse_json(NB_TRY(read_file(path, kMaxConfigBytes)), path));
    if (!json.is_object()) return fail("{}: should be a JSON object", path);
    if (auto it = json.find("eos_token_id"); it != json.end() && !it->is_null())
      NB_OK(add_eos(*it, path, config.vocab, eos));
  }
  if (eos.empty() && tokenizer && tokenizer->eos) eos.push_back(*tokenizer->eos);
  return eos;
}

Result<TextModel> TextModel::load(const std::string& folder, Activations mode, int64_t context,
                                  const std::string& packed) {
  return load(NB_TRY(Weights::open(folder)), mode, context, packed);
}

Result<TextModel> TextModel::load(Weights weights, Activations mode, int64_t context,
                                  const std::string& packed) {
  std::string folder = weights.checkpoint().folder();
  TextModel m{NB_TRY(Decoder::load(std::move(weights), mode, context, packed)), nullptr, {}};
  if (has_tokenizer(folder)) m.tokenizer = NB_TRY(load_tokenizer(folder));
  m.eos = NB_TRY(end_of_text_ids(folder, m.decoder.config(), m.tokenizer.get()));
  return m;
}

Result<const Tokenizer*> TextModel::need_tokenizer() const {
  if (tokenizer) return tokenizer.get();
  return fail(
      "{}: has no tokenizer.json or tokenizer.model; give the prompt as token ids with --ids",
      decoder.weights().checkpoint().folder());
}

Result<std::vector<int32_t>> encode_prompt(const Tokenizer& tokenizer, std::string_view text) {
  std::vector<int32_t> ids = NB_TRY(tokenizer.encode(text, /*add_special=*/true));
  if (!tokenizer.bos || (!ids.empty() && ids.front() == *tokenizer.bos)) return ids;
  if (ids == NB_TRY(tokenizer.encode(text, /*add_special=*/false)))
    ids.insert(ids.begin(), *tokenizer.bos);
  return ids;
}

}  // namespace nibble
