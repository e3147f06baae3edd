// BLEU (Papineni et al., ACL 2002) of whole corpora as sacreBLEU 2.6.0 counts it (Post, arXiv
// 1804.08771): up to four words, smoothing "exp".
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace nibble {

// How texts are cut into words: mteval-v13a's rules, or mteval-v14's international ones, which go
// by Unicode's categories.
enum class BleuWords : uint8_t { k13a, kIntl };
std::vector<std::u32string> bleu_words(std::string_view text, BleuWords words);

// What a segment adds: words of the text, words of the closest reference, then of each length
// 1 to 4 the matching runs of words, then all runs of the text. UTF-8; one reference or more.
std::vector<double> bleu_parts(std::string_view text, std::span<const std::string> references,
                               BleuWords words);
// 0 to 100, of the sums over all segments.
double bleu_score(std::span<const double> sums);

}  // namespace nibble
