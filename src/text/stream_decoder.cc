#include "text/token_model.h"
#include "text/tokenizer.h"
#include "text/utf8.h"

namespace nibble {
namespace {

// The text without a U+FFFD at its end, which may be a character that is still to be completed.
std::string_view settled_part(std::string_view text) {
  if (text.ends_with(kReplacement)) text.remove_suffix(kReplacement.size());
  return text;
}

}  // namespace

// The window is the first ids that made text, kept so that what follows is decoded as the middle of
// a text and not as its start, the last id whose text is settled, and the ids whose text is not
// yet.
Result<std::string> StreamDecoder::push(int32_t id) {
  if (tokenizer_.is_special(id)) return std::string();
  ids_.push_back(id);
  // Whether a run of bytes is UTF-8 shows only at its end: the reference gives U+FFFD for all of a
  // run that is not.
  if (byte_of_piece(tokenizer_.piece(id)) >= 0) return std::string();
  auto decoded = tokenizer_.decode(ids_, true);
  if (!decoded) {
    ids_.pop_back();
    return decoded;
  }
  std::string_view settled = settled_part(*decoded);
  if (!settled.starts_with(shown_)) return std::string();
  std::string fresh(settled.substr(shown_.size()));
  if (settled.size() < decoded->size()) {
    shown_ = settled;
    NB_OK(shorten());
  } else if (start_ > 0) {
    ids_.resize(start_);
    shown_ = start_text_;
    // Whether a space follows may hang on the last id (BPEDecoder).
    ids_.push_back(id);
    std::string with_last = NB_TRY(tokenizer_.decode(ids_, true));
    if (with_last.starts_with(start_text_))
      shown_ = std::move(with_last);
    else
      ids_.pop_back();
  } else {
    shown_ = settled;
    if (!shown_.empty()) {
      start_ = ids_.size();
      start_text_ = shown_;
    }
  }
  return fresh;
}

// Keeps the window short while broken bytes keep coming. A character has at most 4 bytes, so ids
// more than 4 back are settled wherever a cut before them leaves the text as it is.
Status StreamDecoder::shorten() {
  constexpr size_t kLongest = 24, kOpen = 4;
  if (start_ == 0 || ids_.size() < start_ + kLongest) return {};
  std::string whole = NB_TRY(tokenizer_.decode(ids_, true));
  for (size_t cut = ids_.size() - kOpen; cut > ids_.size() - 2 * kOpen; --cut) {
    auto middle = ids_.begin() + static_cast<ptrdiff_t>(cut);
    std::vector<int32_t> left(ids_.begin(), middle),
        right(ids_.begin(), ids_.begin() + static_cast<ptrdiff_t>(start_));
    right.insert(right.end(), middle, ids_.end());
    std::string before = NB_TRY(tokenizer_.decode(left, true));
    std::string after = NB_TRY(tokenizer_.decode(right, true));
    if (before + after.substr(start_text_.size()) != whole) continue;
    ids_ = std::move(right);
    shown_ = settled_part(after);
    return {};
  }
  return {};
}

Result<std::string> StreamDecoder::finish() {
  std::string text = NB_TRY(tokenizer_.decode(ids_, true));
  std::string rest = text.starts_with(shown_) ? text.substr(shown_.size()) : std::string();
  ids_.clear();
  shown_.clear();
  start_text_.clear();
  start_ = 0;
  return rest;
}

}  // namespace nibble
