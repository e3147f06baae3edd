#include "text/spm_merges.h"

#include <algorithm>
#include <unordered_map>

#include "text/utf8.h"

namespace nibble {
namespace {

struct Merge {
  std::string_view left, right;
  double score;
  size_t id, left_id, right_id;
  size_t left_length, right_length;  // in characters
};

size_t characters(std::string_view s) {
  return static_cast<size_t>(
      std::count_if(s.begin(), s.end(), [](char c) { return (c & 0xC0) != 0x80; }));
}

}  // namespace

Json spm_merges(std::span<const std::string_view> pieces, std::span<const double> scores,
                const std::vector<bool>& merged) {
  std::unordered_map<std::string_view, size_t> ids;
  for (size_t id = 0; id < pieces.size(); ++id)
    if (merged[id]) ids.emplace(pieces[id], id);
  std::vector<Merge> all;
  for (size_t id = 0; id < pieces.size(); ++id) {
    if (!merged[id]) continue;
    std::string_view piece = pieces[id];
    for (size_t cut = 1; cut < piece.size(); ++cut) {
      if ((piece[cut] & 0xC0) == 0x80) continue;  // inside a character
      auto left = ids.find(piece.substr(0, cut)), right = ids.find(piece.substr(cut));
      if (left == ids.end() || right == ids.end()) continue;
      all.push_back({left->first, right->first, scores[id], id, left->second, right->second,
                     characters(left->first), characters(right->first)});
    }
  }
  // What is left of an order: the pieces', and of one piece the left sides'.
  std::sort(all.begin(), all.end(), [](const Merge& a, const Merge& b) {
    return std::tuple(b.score, b.left_length, b.right_length, a.id, a.left_id, a.right_id) <
           std::tuple(a.score, a.left_length, a.right_length, b.id, b.left_id, b.right_id);
  });
  Json out = Json::array();
  out.get_ref<Json::array_t&>().reserve(all.size());
  for (const Merge& m : all) out.push_back(Json::array({m.left, m.right}));
  return out;
}

}  // namespace nibble
