// Byte-pair encoding (Sennrich et al. 2016, arXiv:1508.07909): adjacent symbols are merged, the
// pair of lowest rank first, leftmost first among equals.
#pragma once

#include <optional>

#include "text/flat_map.h"
#include "text/token_model.h"

namespace nibble {

class Bpe : public TokenModel {
 public:
  struct Merge {
    uint32_t rank;
    int32_t id;  // the symbol that the pair becomes
  };
  struct Options {
    bool byte_level =
        false;  // words are raw bytes; the vocabulary spells them as byte_level.h does
    bool byte_fallback = false;  // an unknown character becomes its bytes, "<0xE2>" ...
    bool fuse_unk = false;       // a run of unknown characters becomes one unk
    bool ignore_merges = false;  // a word that is in the vocabulary is not merged at all
    std::optional<int32_t> unk;  // without it unknown characters vanish
    // What the vocabulary spells before every character of a word but its first, and after its
    // last. A merge's right side begins with the prefix, and what it makes has it only in front.
    std::string prefix, suffix;
    bool affixed() const { return !prefix.empty() || !suffix.empty(); }
  };

  // `extra_chars` are characters that are in pieces but no pieces themselves: the symbol of the
  // i-th is vocab.size() + i, and it stands for an unknown character once merging is over.
  Bpe(Vocab vocab, const Options& options, std::vector<char32_t> extra_chars = {});

  // Every merge, before the first encode(). The symbol of a pair's spelling is the caller's matter.
  void add_merge(int32_t left, int32_t right, Merge merge, std::string_view left_spelling,
                 std::string_view right_spelling);

  Status encode(std::string_view text, EncodeScratch& scratch,
                std::vector<int32_t>& out) const override;

 private:
  void encode_word(std::string_view word, EncodeScratch& scratch, std::vector<int32_t>& out) const;
  void split(std::string_view word, EncodeScratch& scratch, std::vector<int32_t>& out) const;
  void emit_unknown(char32_t unit, std::string_view before, std::string_view behind, bool after_unk,
                    std::vector<int32_t>& out) const;
  void index_symbols(bool prefixed, bool suffixed);
  void spell_affixes(std::string_view word, std::vector<int32_t>& symbols) const;
  void merge_short(std::vector<int32_t>& symbols) const;
  void merge_long(std::vector<int32_t>& symbols, std::vector<uint32_t>& spans) const;
  std::optional<int32_t> whole_word(std::string_view word) const;

  const Merge* merge_of(int32_t left, int32_t right) const {
    return merges_.find(uint64_t{static_cast<uint32_t>(left)} << 32 | static_cast<uint32_t>(right));
  }
  // The symbol of a unit: a byte where byte_level, else a code point. A unit that is unknown has a
  // negative symbol of its own, which never merges.
  int32_t symbol_of(char32_t unit) const { return symbols_[0].of(unit); }
  static int32_t unknown_symbol(char32_t unit) { return -1 - static_cast<int32_t>(unit); }
  // The unit of a symbol that stands for an unknown one, else nothing.
  std::optional<char32_t> unknown_unit(int32_t symbol) const {
    if (symbol < 0) return static_cast<char32_t>(-1 - symbol);
    if (symbol < vocab_.size()) return std::nullopt;
    return extra_chars_[static_cast<size_t>(symbol - vocab_.size())];
  }
  // False only where no merge ever joins a symbol ending in a with one starting with b.
  bool may_join(char32_t a, char32_t b) const {
    size_t bit = join_bit(a, b);
    return joins_[bit / 64] >> (bit % 64) & 1;
  }
  static size_t join_bit(char32_t a, char32_t b) {
    return (uint64_t{a} << 32 | b) * 0x9E3779B97F4A7C15u >> (64 - kJoinBits);
  }
  static constexpr int kJoinBits = 18;

  Options options_;
  FlatMap<Merge> merges_;
  std::vector<char32_t> extra_chars_;
  // The symbols of units, by whether the prefix (1) and the suffix (2) are spelled with them.
  struct Symbols {
    FlatMap<int32_t> chars;
    std::vector<int32_t> low;  // of units below 256
    int32_t of(char32_t unit) const {
      if (unit < 256) return low[unit];
      const int32_t* id = chars.find(unit);
      return id ? *id : unknown_symbol(unit);
    }
  };
  std::vector<Symbols> symbols_;      // one, or four with affixes
  std::vector<int32_t> byte_pieces_;  // see byte_piece_ids
  std::vector<uint64_t> joins_;       // bitmap with collisions: a set bit proves nothing
};

}  // namespace nibble
