#include "text/spm_model.h"

#include <cmath>

#include "base/protobuf.h"
#include "text/byte_trie.h"
#include "text/utf8.h"

namespace nibble {

Status SpmModel::read_piece(std::string_view bytes, const std::string& what) {
  std::string where = fmt::format("{}: piece {}", what, pieces.size());
  Piece piece;
  ProtoReader reader(bytes, where);
  while (auto field = NB_TRY(reader.next())) {
    if (field->number == 1) piece.text = NB_TRY(field->as_bytes(where));
    if (field->number == 2) piece.score = NB_TRY(field->as_float(where));
    if (field->number == 3) {
      int64_t type = NB_TRY(field->as_int(where));
      if (type < 1 || type > 6) return fail("{} has unknown type {}", where, type);
      piece.type = static_cast<Type>(type);
    }
  }
  if (piece.text.empty() || piece.text.size() > ByteTrie::kLongest)
    return fail("{} has {} bytes; 1 to {} are possible", where, piece.text.size(),
                ByteTrie::kLongest);
  if (invalid_utf8(piece.text)) return fail("{} is not UTF-8", where);
  if (!std::isfinite(piece.score)) return fail("{}: its score is no number", where);
  pieces.push_back(piece);
  return {};
}

Status SpmModel::read_trainer(std::string_view bytes, const std::string& what) {
  ProtoReader reader(bytes, what + ": trainer_spec");
  while (auto field = NB_TRY(reader.next())) {
    switch (field->number) {
      case 3: {
        int64_t type = NB_TRY(field->as_int(what));
        if (type != 1 && type != 2)
          return fail("{}: model type {} is not supported (1 unigram and 2 BPE are)", what, type);
        kind = static_cast<Kind>(type);
        break;
      }
      case 24:
        whitespace_as_suffix = NB_TRY(field->as_bool(what));
        break;
      case 35:
        byte_fallback = NB_TRY(field->as_bool(what));
        break;
      case 41:
        bos = static_cast<int32_t>(NB_TRY(field->as_int(what)));
        break;
      case 42:
        eos = static_cast<int32_t>(NB_TRY(field->as_int(what)));
        break;
      case 44:
        unk_surface = NB_TRY(field->as_bytes(what));
        break;
      default:
        break;
    }
  }
  if (invalid_utf8(unk_surface)) return fail("{}: unk_surface is not UTF-8", what);
  return {};
}

Status SpmModel::read_normalizer(std::string_view bytes, const std::string& what) {
  ProtoReader reader(bytes, what + ": normalizer_spec");
  while (auto field = NB_TRY(reader.next())) {
    switch (field->number) {
      case 2:
        charsmap = NB_TRY(field->as_bytes(what));
        break;
      case 3:
        add_dummy_prefix = NB_TRY(field->as_bool(what));
        break;
      case 4:
        remove_extra_whitespaces = NB_TRY(field->as_bool(what));
        break;
      case 5:
        escape_whitespaces = NB_TRY(field->as_bool(what));
        break;
      default:
        break;
    }
  }
  return {};
}

Result<SpmModel> SpmModel::parse(std::string_view bytes, const std::string& what) {
  SpmModel model;
  ProtoReader reader(bytes, what);
  while (auto field = NB_TRY(reader.next())) {
    if (field->number == 1) NB_OK(model.read_piece(NB_TRY(field->as_bytes(what)), what));
    if (field->number == 2) NB_OK(model.read_trainer(NB_TRY(field->as_bytes(what)), what));
    if (field->number == 3) NB_OK(model.read_normalizer(NB_TRY(field->as_bytes(what)), what));
  }
  if (model.pieces.empty()) return fail("{}: holds no pieces", what);
  return model;
}

}  // namespace nibble
