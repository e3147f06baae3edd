// Reference: huggingface/tokenizers, tokenizers/src/tokenizer/mod.rs and added_vocabulary.rs.
#include "text/hf_tokenizer.h"

#include <algorithm>

#include "base/file.h"
#include "text/added_tokens.h"
#include "text/decoders.h"
#include "text/hf_models.h"
#include "text/normalizers.h"
#include "text/post_processors.h"
#include "text/pre_tokenizers.h"
#include "text/utf8.h"

namespace nibble {
namespace {

class HfTokenizer : public Tokenizer {
 public:
  // `json` is the document without its vocabulary. Errors name `what`.
  Status read(const Json& json, const VocabEntries& entries, const std::string& what);

  Result<std::vector<int32_t>> encode(std::string_view text, bool add_special) const override;
  Result<std::string> decode(std::span<const int32_t> ids, bool skip_special) const override;
  std::string piece(int32_t id) const override;
  std::optional<int32_t> id_of(std::string_view piece) const override;
  int64_t vocab_size() const override {
    return std::max(model_->vocab().size(), static_cast<int64_t>(added_at_.size()));
  }
  bool is_special(int32_t id) const override {
    const Added* added = added_of(id);
    return added && added->token.special;
  }

 private:
  struct Added {
    AddedToken token;
    std::string decoded;  // what decoders get: the content as the normalizer leaves it
  };
  Status read_added(const Json& json, const std::string& what);
  Status add_token(const Json& j, size_t count, const std::string& what);
  Status normalize(std::string& text) const;
  Status encode_plain(std::string text, bool at_start, EncodeScratch& scratch,
                      std::vector<int32_t>& out) const;
  Status encode_words(PreTokens tokens, EncodeScratch& scratch, std::vector<int32_t>& out) const;
  const Added* added_of(int64_t id) const {
    bool known = id >= 0 && id < static_cast<int64_t>(added_at_.size());
    int32_t at = known ? added_at_[static_cast<size_t>(id)] : -1;
    return at < 0 ? nullptr : &added_[static_cast<size_t>(at)];
  }

  std::unique_ptr<TokenModel> model_;
  std::vector<std::unique_ptr<Normalizer>> normalizers_;
  std::vector<std::unique_ptr<PreTokenizer>> pre_tokenizers_;
  std::vector<std::unique_ptr<PieceDecoder>> decoders_;
  bool joins_with_spaces_ = false;  // without a decoder the tokens are words
  Surround surround_;
  std::vector<Added> added_;
  std::vector<int32_t> added_at_;  // by id: index into added_, or -1
  TokenMatcher raw_matcher_, normalized_matcher_;
};

// The member, or null where it is absent.
const Json& member(const Json& json, const char* key) {
  static const Json kNull;
  auto it = json.find(key);
  return it == json.end() ? kNull : *it;
}

Status HfTokenizer::read(const Json& json, const VocabEntries& entries, const std::string& what) {
  const Json& model = member(json, "model");
  if (!model.is_object()) return fail("{}: \"model\" is missing", what);
  normalizers_ = NB_TRY(make_normalizers(member(json, "normalizer"), what));
  pre_tokenizers_ = NB_TRY(make_pre_tokenizers(member(json, "pre_tokenizer"), what));
  bool raw_bytes = reads_raw_bytes(model) && !pre_tokenizers_.empty() &&
                   pre_tokenizers_.back()->keep_raw_bytes();
  model_ = NB_TRY(make_model(model, entries, raw_bytes, what));
  decoders_ = NB_TRY(make_decoders(member(json, "decoder"), what));
  joins_with_spaces_ = member(json, "decoder").is_null();
  NB_OK(read_added(json, what));
  surround_ = NB_TRY(make_post_processor(member(json, "post_processor"), vocab_size(), what));
  if (!surround_.before.empty()) bos = surround_.before.front();
  if (!surround_.after.empty()) eos = surround_.after.back();
  return {};
}

Status HfTokenizer::read_added(const Json& json, const std::string& what) {
  const Json& list = member(json, "added_tokens");
  if (list.is_null()) return {};
  if (!list.is_array()) return fail("{}: \"added_tokens\" should be a list", what);
  added_.reserve(list.size());
  for (const Json& j : list) NB_OK(add_token(j, list.size(), what));
  return {};
}

Status HfTokenizer::add_token(const Json& j, size_t count, const std::string& what) {
  std::string where = fmt::format("{}: added_tokens[{}]", what, added_.size());
  Added added;
  AddedToken& t = added.token;
  int64_t id = NB_TRY(get_int(j, "id", std::nullopt, where));
  t.content = NB_TRY(get_string(j, "content", std::nullopt, where));
  t.single_word = NB_TRY(get_bool(j, "single_word", false, where));
  t.lstrip = NB_TRY(get_bool(j, "lstrip", false, where));
  t.rstrip = NB_TRY(get_bool(j, "rstrip", false, where));
  t.special = NB_TRY(get_bool(j, "special", false, where));
  t.normalized = NB_TRY(get_bool(j, "normalized", !t.special, where));
  // Where the model knows the content under another id, the reference goes by the model.
  auto known = model_->vocab().find(t.content);
  if (known) id = *known;
  int64_t limit = (model_->vocab().size() + static_cast<int64_t>(count)) * 4 + 65536;
  if (id < 0 || id >= limit) return fail("{}: id {} is out of range", where, id);
  // A token listed twice is one token.
  if (const Added* same = added_of(id); same && same->token.content == t.content) return {};
  if (added_of(id) || (!known && model_->vocab().has(id)))
    return fail("{}: id {} of \"{}\" is already taken by \"{}\"", where, id, t.content,
                piece(static_cast<int32_t>(id)));
  t.id = static_cast<int32_t>(id);
  added.decoded = t.content;
  if (t.normalized) NB_OK(normalize(added.decoded));
  NB_OK((t.normalized ? normalized_matcher_ : raw_matcher_).add(t, added.decoded, where));
  if (id >= static_cast<int64_t>(added_at_.size()))
    added_at_.resize(static_cast<size_t>(id) + 1, -1);
  added_at_[static_cast<size_t>(id)] = static_cast<int32_t>(added_.size());
  added_.push_back(std::move(added));
  return {};
}

Status HfTokenizer::normalize(std::string& text) const {
  for (const auto& n : normalizers_) NB_OK(n->apply(text));
  return {};
}

Result<std::vector<int32_t>> HfTokenizer::encode(std::string_view text, bool add_special) const {
  NB_OK(check_text(text));
  std::vector<int32_t> out;
  out.reserve(text.size() / 3 + 8);
  if (add_special) out = surround_.before;
  EncodeScratch scratch;
  for (const auto& section : raw_matcher_.split(text)) {
    if (section.id) {
      out.push_back(*section.id);
      continue;
    }
    std::string plain(text.substr(section.begin, section.end - section.begin));
    NB_OK(encode_plain(std::move(plain), section.begin == 0, scratch, out));
  }
  if (add_special) out.insert(out.end(), surround_.after.begin(), surround_.after.end());
  return out;
}

Status HfTokenizer::encode_plain(std::string text, bool at_start, EncodeScratch& scratch,
                                 std::vector<int32_t>& out) const {
  NB_OK(normalize(text));
  if (normalized_matcher_.empty()) {
    if (text.empty()) return {};
    size_t size = text.size();
    return encode_words({std::move(text), {{0, size}}, at_start}, scratch, out);
  }
  for (const auto& section : normalized_matcher_.split(text)) {
    if (section.id) {
      out.push_back(*section.id);
      continue;
    }
    size_t size = section.end - section.begin;
    NB_OK(encode_words(
        {text.substr(section.begin, size), {{0, size}}, at_start && section.begin == 0}, scratch,
        out));
  }
  return {};
}

Status HfTokenizer::encode_words(PreTokens tokens, EncodeScratch& scratch,
                                 std::vector<int32_t>& out) const {
  for (const auto& p : pre_tokenizers_) NB_OK(p->apply(tokens));
  for (const Match& w : tokens.words)
    if (w.begin < w.end)
      NB_OK(model_->encode(std::string_view(tokens.text).substr(w.begin, w.end - w.begin), scratch,
                           out));
  return {};
}

Result<std::string> HfTokenizer::decode(std::span<const int32_t> ids, bool skip_special) const {
  std::vector<std::string> tokens;
  tokens.reserve(ids.size());
  for (int32_t id : ids) {
    const Added* added = added_of(id);
    if (!added && !model_->vocab().has(id))
      return fail("token id {} is not in the vocabulary of {}", id, vocab_size());
    if (added && added->token.special && skip_special) continue;
    tokens.emplace_back(added ? std::string_view(added->decoded) : model_->vocab().piece(id));
  }
  if (joins_with_spaces_)
    for (size_t i = 1; i < tokens.size(); ++i) tokens[i].insert(0, 1, ' ');
  for (const auto& d : decoders_) NB_OK(d->apply(tokens));
  std::string text;
  for (const auto& t : tokens) text += t;
  return text;
}

std::string HfTokenizer::piece(int32_t id) const {
  const Added* added = added_of(id);
  return added ? added->token.content : std::string(model_->vocab().piece(id));
}

std::optional<int32_t> HfTokenizer::id_of(std::string_view piece) const {
  for (const Added& a : added_)
    if (a.token.content == piece) return a.token.id;
  return model_->vocab().find(piece);
}

}  // namespace

Result<std::unique_ptr<Tokenizer>> load_hf_tokenizer(const std::string& path) {
  std::string text = NB_TRY(read_file(path));
  auto entries = NB_TRY(cut_vocab(text, path));
  return make_hf_tokenizer(NB_TRY(parse_json(text, path)), entries, path);
}

Result<std::unique_ptr<Tokenizer>> make_hf_tokenizer(const Json& json, const VocabEntries& entries,
                                                     const std::string& what) {
  if (!json.is_object()) return fail("{}: should hold a JSON object", what);
  auto tokenizer = std::make_unique<HfTokenizer>();
  NB_OK(tokenizer->read(json, entries, what));
  return tokenizer;
}

}  // namespace nibble
