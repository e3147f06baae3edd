// Reference: huggingface/tokenizers, tokenizers/src/models.
#include "text/hf_models.h"

#include "text/bpe.h"
#include "text/unigram.h"
#include "text/wordpiece.h"

namespace nibble {
namespace {

using Made = Result<std::unique_ptr<TokenModel>>;

// Left and right side of a merge: "a b", or since tokenizers 0.20 ["a", "b"].
Result<std::pair<std::string_view, std::string_view>> merge_sides(const Json& merge, size_t rank,
                                                                  const std::string& what) {
  std::string_view left, right;
  if (merge.is_string()) {
    std::string_view both = merge.get_ref<const std::string&>();
    size_t space = both.find(' ');
    if (space != both.npos && both.find(' ', space + 1) == both.npos) {
      left = both.substr(0, space);
      right = both.substr(space + 1);
    }
  } else if (merge.is_array() && merge.size() == 2 && merge[0].is_string() &&
             merge[1].is_string()) {
    left = merge[0].get_ref<const std::string&>();
    right = merge[1].get_ref<const std::string&>();
  }
  if (left.empty() || right.empty()) return fail("{}: merge {} is not a pair of texts", what, rank);
  return std::pair(left, right);
}

Status add_merges(const Json& model, std::string_view prefix, const std::string& what, Bpe& bpe) {
  auto merges = model.find("merges");
  if (merges == model.end() || !merges->is_array()) return fail("{}: \"merges\" is missing", what);
  std::string joined;
  for (size_t rank = 0; rank < merges->size(); ++rank) {
    auto [left, right] = NB_TRY(merge_sides((*merges)[rank], rank, what));
    if (!right.starts_with(prefix))
      return fail("{}: right side of merge {} does not begin with \"{}\"", what, rank, prefix);
    joined.assign(left).append(right.substr(prefix.size()));
    auto a = bpe.vocab().find(left), b = bpe.vocab().find(right), c = bpe.vocab().find(joined);
    if (!a || !b || !c)
      return fail("{}: merge {} names \"{}\", which is not in the vocabulary", what, rank,
                  (!a   ? left
                   : !b ? right
                        : std::string_view(joined))
                      .substr(0, 80));
    bpe.add_merge(*a, *b, {static_cast<uint32_t>(rank), *c}, left, right);
  }
  return {};
}

Result<Vocab> make_vocab(const VocabEntries& entries, const std::string& what) {
  Vocab vocab;
  for (const auto& [piece, id] : entries) NB_OK(vocab.add(piece, id, entries.size(), what));
  return vocab;
}

Made make_bpe(const Json& model, const VocabEntries& entries, bool raw_bytes,
              const std::string& what) {
  if (NB_TRY(get_number(model, "dropout", 0.0, what)) != 0)
    return fail("{}: BPE dropout is for training; set it to null", what);
  Vocab vocab = NB_TRY(make_vocab(entries, what));
  Bpe::Options options;
  options.byte_level = raw_bytes;
  options.byte_fallback = NB_TRY(get_bool(model, "byte_fallback", false, what));
  options.fuse_unk = NB_TRY(get_bool(model, "fuse_unk", false, what));
  options.ignore_merges = NB_TRY(get_bool(model, "ignore_merges", false, what));
  options.prefix = NB_TRY(get_string(model, "continuing_subword_prefix", "", what));
  options.suffix = NB_TRY(get_string(model, "end_of_word_suffix", "", what));
  std::string unk = NB_TRY(get_string(model, "unk_token", "", what));
  if (!unk.empty()) {
    options.unk = vocab.find(unk);
    if (!options.unk) return fail("{}: unk_token \"{}\" is not in the vocabulary", what, unk);
  }
  auto bpe = std::make_unique<Bpe>(std::move(vocab), options);
  NB_OK(add_merges(model, options.prefix, what, *bpe));
  return bpe;
}

Made make_unigram(const Json& model, const VocabEntries&, bool, const std::string& what) {
  auto list = model.find("vocab");
  if (list == model.end() || !list->is_array()) return fail("{}: \"vocab\" is missing", what);
  Vocab vocab;
  std::vector<double> scores;
  for (const Json& entry : *list) {
    if (!entry.is_array() || entry.size() != 2 || !entry[0].is_string() || !entry[1].is_number())
      return fail("{}: entry {} of \"vocab\" is not [text, score]", what, scores.size());
    NB_OK(vocab.add(entry[0].get_ref<const std::string&>(), static_cast<int64_t>(scores.size()),
                    list->size(), what));
    scores.push_back(entry[1].get<double>());
  }
  Unigram::Options options;
  options.byte_fallback = NB_TRY(get_bool(model, "byte_fallback", false, what));
  int64_t unk = NB_TRY(get_int(model, "unk_id", -1, what));
  if (unk >= vocab.size())
    return fail("{}: unk_id {} is beyond the vocabulary of {}", what, unk, vocab.size());
  if (unk >= 0) options.unk = static_cast<int32_t>(unk);
  std::vector<Unigram::Use> uses(scores.size(), Unigram::Use::kNormal);
  return NB_TRY(Unigram::create(std::move(vocab), std::move(scores), uses, options, what));
}

Made make_wordpiece(const Json& model, const VocabEntries& entries, bool, const std::string& what) {
  Vocab vocab = NB_TRY(make_vocab(entries, what));
  WordPiece::Options options;
  options.prefix = NB_TRY(get_string(model, "continuing_subword_prefix", "##", what));
  options.longest_word = NB_TRY(get_int(model, "max_input_chars_per_word", 100, what));
  options.unk = vocab.find(NB_TRY(get_string(model, "unk_token", "[UNK]", what)));
  return NB_TRY(WordPiece::create(std::move(vocab), options, what));
}

Made make_wordlevel(const Json& model, const VocabEntries& entries, bool, const std::string& what) {
  Vocab vocab = NB_TRY(make_vocab(entries, what));
  auto unk = vocab.find(NB_TRY(get_string(model, "unk_token", "<unk>", what)));
  return std::make_unique<WordLevel>(std::move(vocab), unk);
}

struct ModelKind {
  const char* name;
  Made (*make)(const Json&, const VocabEntries&, bool, const std::string&);
};
constexpr ModelKind kKinds[] = {
    {"BPE", make_bpe},
    {"Unigram", make_unigram},
    {"WordPiece", make_wordpiece},
    {"WordLevel", make_wordlevel},
};

// Files before tokenizers 0.14 may leave out the type.
std::string type_of(const Json& model) {
  auto type = model.find("type");
  if (type != model.end() && type->is_string()) return type->get<std::string>();
  return model.contains("merges") ? "BPE" : "";
}

}  // namespace

bool reads_raw_bytes(const Json& model) { return type_of(model) == "BPE"; }

Result<std::unique_ptr<TokenModel>> make_model(const Json& model, const VocabEntries& vocab,
                                               bool raw_bytes, const std::string& what) {
  std::string type = type_of(model);
  for (const auto& kind : kKinds)
    if (type == kind.name) return kind.make(model, vocab, raw_bytes, what);
  return fail("{}: model \"{}\" is not supported yet", what, type);
}

}  // namespace nibble
