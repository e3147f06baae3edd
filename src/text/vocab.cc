#include "text/vocab.h"

#include <xxhash.h>

namespace nibble {

Status Vocab::add_piece(std::string_view piece, int64_t id, size_t expected,
                        const std::string& what) {
  // A few ids may be unused, but a file of n entries cannot make us reserve memory for far more.
  int64_t limit = static_cast<int64_t>(expected) * 4 + 65536;
  if (id < 0 || id >= limit || id > INT32_MAX)
    return fail("{}: token id {} is out of range (the vocabulary has {} entries)", what, id,
                expected);
  if (has(id))
    return fail("{}: token id {} is given to both \"{}\" and \"{}\"", what, id, this->piece(id),
                piece);
  if (pool_.size() + piece.size() >= kNone) return fail("{}: vocabulary of over 4 GB", what);
  if (id >= size()) spans_.resize(static_cast<size_t>(id) + 1);
  spans_[static_cast<size_t>(id)] = {static_cast<uint32_t>(pool_.size()),
                                     static_cast<uint32_t>(piece.size())};
  pool_ += piece;
  return {};
}

Status Vocab::add(std::string_view piece, int64_t id, size_t expected, const std::string& what) {
  if ((used_ + 1) * 2 > slots_.size()) grow();
  size_t slot = slot_of(piece);
  if (slots_[slot] >= 0)
    return fail("{}: token \"{}\" appears twice (ids {} and {})", what, piece.substr(0, 80),
                slots_[slot], id);
  NB_OK(add_piece(piece, id, expected, what));
  slots_[slot] = static_cast<int32_t>(id);
  ++used_;
  return {};
}

std::optional<int32_t> Vocab::find(std::string_view piece) const {
  if (slots_.empty()) return std::nullopt;
  int32_t id = slots_[slot_of(piece)];
  if (id < 0) return std::nullopt;
  return id;
}

std::string_view Vocab::piece(int64_t id) const {
  if (!has(id)) return {};
  const Span& span = spans_[static_cast<size_t>(id)];
  return std::string_view(pool_).substr(span.begin, span.length);
}

bool Vocab::has(int64_t id) const {
  return id >= 0 && id < size() && spans_[static_cast<size_t>(id)].length != kNone;
}

size_t Vocab::slot_of(std::string_view piece) const {
  size_t mask = slots_.size() - 1;
  size_t i = XXH3_64bits(piece.data(), piece.size()) & mask;
  while (slots_[i] >= 0 && this->piece(slots_[i]) != piece) i = (i + 1) & mask;
  return i;
}

void Vocab::grow() {
  std::vector<int32_t> old(slots_.empty() ? 256 : slots_.size() * 2, -1);
  old.swap(slots_);
  for (int32_t id : old)
    if (id >= 0) slots_[slot_of(piece(id))] = id;
}

}  // namespace nibble
