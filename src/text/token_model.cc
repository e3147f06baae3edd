#include "text/token_model.h"

namespace nibble {
namespace {

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  return -1;
}

}  // namespace

int byte_of_piece(std::string_view piece) {
  if (piece.size() != 6 || !piece.starts_with("<0x") || piece[5] != '>') return -1;
  int high = hex_digit(piece[3]), low = hex_digit(piece[4]);
  return high < 0 || low < 0 ? -1 : high * 16 + low;
}

std::vector<int32_t> byte_piece_ids(const Vocab& vocab) {
  std::vector<int32_t> ids(256, -1);
  for (int64_t id = 0; id < vocab.size(); ++id)
    if (int b = byte_of_piece(vocab.piece(id)); b >= 0)
      ids[static_cast<size_t>(b)] = static_cast<int32_t>(id);
  return ids;
}

}  // namespace nibble
