// Reference: huggingface/tokenizers, tokenizers/src/models/wordpiece and wordlevel.
#include "text/wordpiece.h"

#include <algorithm>

namespace nibble {
namespace {

Status push_unknown(std::string_view word, std::optional<int32_t> unk, std::vector<int32_t>& out) {
  if (!unk)
    return fail("tokenizer: \"{}\" is not in the vocabulary, which has no unknown token",
                word.substr(0, 40));
  out.push_back(*unk);
  return {};
}

int64_t count_chars(std::string_view text) {
  return std::count_if(text.begin(), text.end(),
                       [](char c) { return (static_cast<unsigned char>(c) & 0xC0) != 0x80; });
}

}  // namespace

Result<std::unique_ptr<WordPiece>> WordPiece::create(Vocab vocab, const Options& options,
                                                     const std::string& what) {
  std::unique_ptr<WordPiece> model(new WordPiece(std::move(vocab), options));
  for (int64_t id = 0; id < model->vocab_.size(); ++id) {
    std::string_view piece = model->vocab_.piece(id);
    if (piece.size() > ByteTrie::kLongest)
      return fail("{}: token {} has {} bytes, over {}", what, id, piece.size(), ByteTrie::kLongest);
    if (!piece.empty()) model->first_.add(piece, static_cast<int32_t>(id));
    if (piece.size() <= options.prefix.size() || !piece.starts_with(options.prefix)) continue;
    model->next_.add(piece.substr(options.prefix.size()), static_cast<int32_t>(id));
  }
  return model;
}

Status WordPiece::encode(std::string_view text, EncodeScratch&, std::vector<int32_t>& out) const {
  if (count_chars(text) > options_.longest_word) return push_unknown(text, options_.unk, out);
  size_t before = out.size();
  for (size_t i = 0; i < text.size();) {
    auto found = (i == 0 ? first_ : next_).longest_prefix(text.substr(i));
    if (found.length == 0) {
      out.resize(before);
      return push_unknown(text, options_.unk, out);
    }
    out.push_back(found.value);
    i += found.length;
  }
  return {};
}

Status WordLevel::encode(std::string_view text, EncodeScratch&, std::vector<int32_t>& out) const {
  auto id = vocab_.find(text);
  if (!id) return push_unknown(text, unk_, out);
  out.push_back(*id);
  return {};
}

}  // namespace nibble
