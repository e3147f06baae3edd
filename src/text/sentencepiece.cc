// Reference: google/sentencepiece, src/sentencepiece_processor.cc, src/bpe_model.cc.
#include "text/sentencepiece.h"

#include <algorithm>

#include "base/file.h"
#include "text/added_tokens.h"
#include "text/bpe.h"
#include "text/spm_model.h"
#include "text/spm_normalizer.h"
#include "text/unigram.h"
#include "text/utf8.h"

namespace nibble {
namespace {

using Type = SpmModel::Type;

class SentencePiece : public Tokenizer {
 public:
  Status read(const SpmModel& spm, const SpmOptions& options, const std::string& what);

  Result<std::vector<int32_t>> encode(std::string_view text, bool add_special) const override;
  Result<std::string> decode(std::span<const int32_t> ids, bool skip_special) const override;
  std::string piece(int32_t id) const override { return std::string(model_->vocab().piece(id)); }
  std::optional<int32_t> id_of(std::string_view piece) const override {
    return model_->vocab().find(piece);
  }
  int64_t vocab_size() const override { return model_->vocab().size(); }
  bool is_special(int32_t id) const override {
    return id >= 0 && id < vocab_size() && type_of(id) == Type::kControl;
  }

 private:
  Type type_of(int32_t id) const { return types_[static_cast<size_t>(id)]; }
  std::string_view decode_piece(int32_t id, bool at_start, bool& took_space) const;

  std::unique_ptr<TokenModel> model_;
  std::vector<Type> types_;
  SpmNormalizer normalizer_;
  TokenMatcher user_defined_;  // what a BPE model never takes apart; empty for unigram models
  std::string unk_surface_;
  bool add_bos_ = false, add_eos_ = false;
};

// Every way to make a normal piece out of two symbols is a merge; the piece's score ranks it.
class MergeFinder {
 public:
  MergeFinder(const SpmModel& spm, const Vocab& vocab) : spm_(spm), vocab_(vocab) {
    for (const auto& p : spm.pieces) ranked_.push_back(p.score);
    std::sort(ranked_.begin(), ranked_.end(), std::greater<>());
    ranked_.erase(std::unique(ranked_.begin(), ranked_.end()), ranked_.end());
    // Characters inside pieces that are no pieces themselves get symbols beyond the vocabulary.
    for (const auto& p : spm.pieces)
      for (size_t i = 0; p.type == Type::kNormal && i < p.text.size(); i += length_at(p.text, i))
        if (auto c = p.text.substr(i, length_at(p.text, i)); !vocab.find(c))
          add_char(char_at(c.data()));
  }
  const std::vector<char32_t>& extra_chars() const { return extra_chars_; }

  void add_all(Bpe& bpe) const {
    for (size_t id = 0; id < spm_.pieces.size(); ++id) {
      const auto& p = spm_.pieces[id];
      if (p.type != Type::kNormal) continue;
      auto rank = std::lower_bound(ranked_.begin(), ranked_.end(), p.score, std::greater<>()) -
                  ranked_.begin();
      for (size_t i = length_at(p.text, 0); i < p.text.size(); i += length_at(p.text, i)) {
        auto left = symbol(p.text.substr(0, i)), right = symbol(p.text.substr(i));
        if (left && right)
          bpe.add_merge(*left, *right, {static_cast<uint32_t>(rank), static_cast<int32_t>(id)},
                        p.text.substr(0, i), p.text.substr(i));
      }
    }
  }

 private:
  void add_char(char32_t c) {
    if (chars_.find(c)) return;
    chars_.insert(c,
                  static_cast<int32_t>(vocab_.size() + static_cast<int64_t>(extra_chars_.size())));
    extra_chars_.push_back(c);
  }
  static size_t length_at(std::string_view s, size_t i) {
    return char_length(static_cast<unsigned char>(s[i]));
  }
  std::optional<int32_t> symbol(std::string_view s) const {
    auto id = vocab_.find(s);
    if (id && spm_.pieces[static_cast<size_t>(*id)].type == Type::kNormal) return id;
    if (length_at(s, 0) != s.size()) return std::nullopt;
    if (id) return id;
    return *chars_.find(char_at(s.data()));
  }

  const SpmModel& spm_;
  const Vocab& vocab_;
  std::vector<float> ranked_;  // the scores, best first
  std::vector<char32_t> extra_chars_;
  FlatMap<int32_t> chars_;  // their symbols
};

std::unique_ptr<TokenModel> make_bpe(const SpmModel& spm, Vocab vocab, std::optional<int32_t> unk) {
  Bpe::Options options;
  options.byte_fallback = spm.byte_fallback;
  options.fuse_unk = true;
  options.unk = unk;
  MergeFinder finder(spm, vocab);
  auto bpe = std::make_unique<Bpe>(vocab, options, finder.extra_chars());
  finder.add_all(*bpe);
  return bpe;
}

Result<std::unique_ptr<TokenModel>> make_unigram(const SpmModel& spm, Vocab vocab,
                                                 std::optional<int32_t> unk,
                                                 const std::string& what) {
  Unigram::Options options;
  options.byte_fallback = spm.byte_fallback;
  options.single_precision = true;
  options.unk = unk;
  std::vector<double> scores;
  std::vector<Unigram::Use> uses;
  for (const auto& p : spm.pieces) {
    scores.push_back(p.score);
    uses.push_back(p.type == Type::kNormal        ? Unigram::Use::kNormal
                   : p.type == Type::kUserDefined ? Unigram::Use::kAlways
                                                  : Unigram::Use::kNever);
  }
  return NB_TRY(Unigram::create(std::move(vocab), std::move(scores), uses, options, what));
}

// The begin or end token that the model names, where it is a control piece.
std::optional<int32_t> control_piece(const SpmModel& spm, int64_t id) {
  bool known = id >= 0 && id < static_cast<int64_t>(spm.pieces.size());
  if (!known || spm.pieces[static_cast<size_t>(id)].type != Type::kControl) return std::nullopt;
  return static_cast<int32_t>(id);
}

Status SentencePiece::read(const SpmModel& spm, const SpmOptions& options,
                           const std::string& what) {
  Vocab vocab;
  std::optional<int32_t> unk;
  bool bpe = spm.kind == SpmModel::Kind::kBpe;
  for (const auto& p : spm.pieces) {
    auto id = static_cast<int32_t>(types_.size());
    NB_OK(vocab.add(p.text, id, spm.pieces.size(), what));
    if (p.type == Type::kUnknown && unk) return fail("{}: two pieces are the unknown one", what);
    if (p.type == Type::kUnknown) unk = id;
    if (p.type == Type::kByte && byte_of_piece(p.text) < 0)
      return fail("{}: byte piece {} is not spelled as <0x41>", what, id);
    if (p.type == Type::kUnused && bpe)
      return fail("{}: BPE with unused pieces (piece {}) is not supported yet", what, id);
    if (p.type == Type::kUserDefined) {
      normalizer_.user_defined.add(p.text, id);
      AddedToken token{.id = id, .content = std::string(p.text)};
      if (bpe) NB_OK(user_defined_.add(token, p.text, what));
    }
    types_.push_back(p.type);
  }
  if (!unk) return fail("{}: no piece is the unknown one", what);
  model_ = bpe ? make_bpe(spm, std::move(vocab), unk)
               : NB_TRY(make_unigram(spm, std::move(vocab), unk, what));
  normalizer_.add_dummy_prefix = spm.add_dummy_prefix;
  normalizer_.remove_extra_whitespaces = spm.remove_extra_whitespaces;
  normalizer_.escape_whitespaces = spm.escape_whitespaces;
  normalizer_.whitespace_as_suffix = spm.whitespace_as_suffix;
  NB_OK(normalizer_.rules.read(spm.charsmap, what));
  unk_surface_ = spm.unk_surface;
  bos = control_piece(spm, spm.bos);
  eos = control_piece(spm, spm.eos);
  add_bos_ = options.add_bos.value_or(bpe);
  add_eos_ = options.add_eos.value_or(false);
  return {};
}

Result<std::vector<int32_t>> SentencePiece::encode(std::string_view text, bool add_special) const {
  NB_OK(check_text(text));
  std::vector<int32_t> out;
  if (add_special && add_bos_ && bos) out.push_back(*bos);
  std::string normalized = NB_TRY(normalizer_.normalize(text));
  out.reserve(text.size() / 3 + 8);
  EncodeScratch scratch;
  for (const auto& section : user_defined_.split(normalized)) {
    auto part = std::string_view(normalized).substr(section.begin, section.end - section.begin);
    if (section.id)
      out.push_back(*section.id);
    else
      NB_OK(model_->encode(part, scratch, out));
  }
  if (add_special && add_eos_ && eos) out.push_back(*eos);
  return out;
}

// Appends the characters in `bytes`, each byte that belongs to none as U+FFFD, and empties it.
void flush_bytes(std::string& bytes, std::string& text) {
  for (size_t i = 0, n; i < bytes.size(); i += std::max<size_t>(n, 1)) {
    n = valid_char(std::string_view(bytes).substr(i));
    if (n > 0)
      text.append(bytes, i, n);
    else
      text += kReplacement;
  }
  bytes.clear();
}

// What a piece is in text, before its marks become spaces. took_space: its first mark is the space
// that the normalizer put before the text, and is gone.
std::string_view SentencePiece::decode_piece(int32_t id, bool at_start, bool& took_space) const {
  took_space = false;
  if (type_of(id) == Type::kUnknown) return unk_surface_;
  std::string_view piece = model_->vocab().piece(id);
  bool strips = normalizer_.add_dummy_prefix || normalizer_.remove_extra_whitespaces;
  if (!at_start || !strips || !piece.starts_with(kMetaspace)) return piece;
  // Where extra spaces are removed, all of those that the text starts with are.
  took_space = !normalizer_.remove_extra_whitespaces;
  return piece.substr(kMetaspace.size());
}

Result<std::string> SentencePiece::decode(std::span<const int32_t> ids, bool skip_special) const {
  std::string text, bytes;
  bool at_start = true, took_space = false;
  for (int32_t id : ids) {
    if (id < 0 || id >= vocab_size())
      return fail("token id {} is not in the vocabulary of {}", id, vocab_size());
    if (type_of(id) == Type::kByte) {
      bytes += static_cast<char>(byte_of_piece(model_->vocab().piece(id)));
      continue;
    }
    bool control = type_of(id) == Type::kControl;
    if (control && skip_special) continue;
    if (!bytes.empty()) at_start = false;
    flush_bytes(bytes, text);
    if (control) {
      text += model_->vocab().piece(id);
      continue;
    }
    if (took_space) at_start = false;
    std::string_view rest = decode_piece(id, at_start, took_space);
    if (!rest.empty()) at_start = false;
    bool unknown = type_of(id) == Type::kUnknown;
    for (size_t mark; !unknown && (mark = rest.find(kMetaspace)) != rest.npos;) {
      text.append(rest, 0, mark) += ' ';
      rest.remove_prefix(mark + kMetaspace.size());
    }
    text += rest;
  }
  flush_bytes(bytes, text);
  return text;
}

}  // namespace

Result<std::unique_ptr<Tokenizer>> load_sentencepiece(const std::string& path,
                                                      const SpmOptions& options) {
  std::string bytes = NB_TRY(read_file(path));
  SpmModel spm = NB_TRY(SpmModel::parse(bytes, path));
  auto tokenizer = std::make_unique<SentencePiece>();
  NB_OK(tokenizer->read(spm, options, path));
  return tokenizer;
}

}  // namespace nibble
