#include "text/bpe.h"

#include "text/byte_level.h"
#include "text/utf8.h"

namespace nibble {
namespace {

// Calls f(offset, unit) for each byte or each character of the text.
template <class F>
void for_each_unit(std::string_view text, bool bytes, F&& f) {
  for (size_t i = 0; i < text.size();) {
    auto lead = static_cast<unsigned char>(text[i]);
    f(i, bytes ? char32_t{lead} : char_at(text.data() + i));
    i += bytes ? 1 : char_length(lead);
  }
}

// The only character of a text, if it has just one.
std::optional<char32_t> single_char(std::string_view text) {
  if (text.empty() || char_length(static_cast<unsigned char>(text[0])) != text.size())
    return std::nullopt;
  return char_at(text.data());
}

char32_t last_char(std::string_view text) {
  size_t i = text.size() - 1;
  while (i > 0 && (static_cast<unsigned char>(text[i]) & 0xC0) == 0x80) --i;
  return char_at(text.data() + i);
}

}  // namespace

Bpe::Bpe(Vocab vocab, const Options& options, std::vector<char32_t> extra_chars)
    : TokenModel(std::move(vocab)),
      options_(options),
      extra_chars_(std::move(extra_chars)),
      byte_pieces_(byte_piece_ids(vocab_)),
      joins_((size_t{1} << kJoinBits) / 64) {
  for (int affixes = 0; affixes < (options_.affixed() ? 4 : 1); ++affixes)
    index_symbols(affixes & 1, affixes & 2);
}

// Fills the next of symbols_ with the pieces of one unit and these affixes.
void Bpe::index_symbols(bool prefixed, bool suffixed) {
  Symbols& to = symbols_.emplace_back();
  for (char32_t unit = 0; unit < 256; ++unit) to.low.push_back(unknown_symbol(unit));
  for (size_t i = 0; i < extra_chars_.size(); ++i)
    to.chars.insert(extra_chars_[i], static_cast<int32_t>(vocab_.size() + static_cast<int64_t>(i)));
  std::string_view before, behind;
  if (prefixed) before = options_.prefix;
  if (suffixed) behind = options_.suffix;
  for (int64_t id = 0; id < vocab_.size(); ++id) {
    std::string_view piece = vocab_.piece(id);
    if (piece.size() <= before.size() + behind.size() || !piece.starts_with(before) ||
        !piece.ends_with(behind))
      continue;
    auto c = single_char(piece.substr(before.size(), piece.size() - before.size() - behind.size()));
    if (!c) continue;
    if (!options_.byte_level) {
      to.chars.insert(*c, static_cast<int32_t>(id));
    } else if (int b = byte_of_char(*c); b >= 0) {
      to.low[static_cast<size_t>(b)] = static_cast<int32_t>(id);
    }
  }
  if (options_.byte_level) return;
  for (char32_t c = 0; c < 256; ++c)
    if (const int32_t* id = to.chars.find(c)) to.low[c] = *id;
}

void Bpe::add_merge(int32_t left, int32_t right, Merge merge, std::string_view left_spelling,
                    std::string_view right_spelling) {
  merges_.insert(uint64_t{static_cast<uint32_t>(left)} << 32 | static_cast<uint32_t>(right), merge);
  char32_t a = last_char(left_spelling), b = char_at(right_spelling.data());
  if (options_.byte_level) {
    int byte_a = byte_of_char(a), byte_b = byte_of_char(b);
    if (byte_a < 0 || byte_b < 0) return;  // no text has such symbols
    a = static_cast<char32_t>(byte_a);
    b = static_cast<char32_t>(byte_b);
  }
  size_t bit = join_bit(a, b);
  joins_[bit / 64] |= uint64_t{1} << (bit % 64);
}

// A long text is cut where no merge can reach across: the parts then merge as the whole would.
// That makes words of a text that nothing has pre-tokenized, and words are worth remembering.
Status Bpe::encode(std::string_view text, EncodeScratch& scratch, std::vector<int32_t>& out) const {
  if (text.size() <= WordCache::kMaxWord) {
    encode_word(text, scratch, out);
    return {};
  }
  if (options_.ignore_merges || options_.affixed()) {
    split(text, scratch, out);
    return {};
  }
  size_t begin = 0;
  char32_t last = 0;
  for_each_unit(text, options_.byte_level, [&](size_t i, char32_t unit) {
    // Not before an unknown character: a run of those may become one unk.
    if (i > 0 && !may_join(last, unit) && symbol_of(unit) >= 0) {
      encode_word(text.substr(begin, i - begin), scratch, out);
      begin = i;
    }
    last = unit;
  });
  encode_word(text.substr(begin), scratch, out);
  return {};
}

void Bpe::encode_word(std::string_view word, EncodeScratch& scratch,
                      std::vector<int32_t>& out) const {
  if (word.size() > WordCache::kMaxWord) return split(word, scratch, out);
  if (auto ids = scratch.cache.find(word)) {
    out.insert(out.end(), ids->begin(), ids->end());
    return;
  }
  size_t before = out.size();
  split(word, scratch, out);
  scratch.cache.put(word, std::span(out).subspan(before));
}

std::optional<int32_t> Bpe::whole_word(std::string_view word) const {
  return vocab_.find(options_.byte_level ? spell_bytes(word) : std::string(word));
}

// Gives the units of a word, which has begun and ends here, the symbols of their places.
void Bpe::spell_affixes(std::string_view word, std::vector<int32_t>& symbols) const {
  size_t at = 0;
  bool prefix = !options_.prefix.empty(), suffix = !options_.suffix.empty();
  for_each_unit(word, options_.byte_level, [&](size_t i, char32_t unit) {
    bool last = at + 1 == symbols.size();
    symbols[at++] = symbols_[(prefix && i > 0 ? 1u : 0u) + (suffix && last ? 2u : 0u)].of(unit);
  });
}

void Bpe::split(std::string_view word, EncodeScratch& scratch, std::vector<int32_t>& out) const {
  if (options_.ignore_merges) {
    if (auto id = whole_word(word)) return out.push_back(*id);
  }
  auto& symbols = scratch.symbols;
  symbols.clear();
  symbols.reserve(word.size());
  for_each_unit(word, options_.byte_level,
                [&](size_t, char32_t unit) { symbols.push_back(symbol_of(unit)); });
  if (options_.affixed()) spell_affixes(word, symbols);
  constexpr size_t kShort = 40;
  symbols.size() <= kShort ? merge_short(symbols) : merge_long(symbols, scratch.spans);
  bool after_unk = false;
  for (size_t i = 0; i < symbols.size(); ++i) {
    auto unknown = unknown_unit(symbols[i]);
    if (!unknown)
      out.push_back(symbols[i]);
    else
      emit_unknown(*unknown, i > 0 ? options_.prefix : "",
                   i + 1 == symbols.size() ? options_.suffix : "", after_unk, out);
    after_unk = unknown.has_value();
  }
}

void Bpe::emit_unknown(char32_t unit, std::string_view before, std::string_view behind,
                       bool after_unk, std::vector<int32_t>& out) const {
  if (options_.byte_fallback) {
    std::string bytes(before);
    options_.byte_level ? bytes.push_back(static_cast<char>(unit)) : append_char(bytes, unit);
    bytes += behind;
    bool all = true;
    for (unsigned char b : bytes) all &= byte_pieces_[b] >= 0;
    if (all) {
      for (unsigned char b : bytes) out.push_back(byte_pieces_[b]);
      return;
    }
  }
  if (options_.unk && !(after_unk && options_.fuse_unk)) out.push_back(*options_.unk);
}

}  // namespace nibble
