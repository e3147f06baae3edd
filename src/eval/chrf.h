// chrF (Popovic, WMT 2015) of whole corpora as sacreBLEU 2.6.0 counts it: runs of 1 to 6
// characters, white space left out, recall counting twice.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace nibble {

// What a segment adds: for each length the text's runs, the reference's and the matching ones.
// UTF-8; of several references the one with the best score counts.
std::vector<double> chrf_parts(std::string_view text, std::span<const std::string> references);
// 0 to 100, of the sums over all segments.
double chrf_score(std::span<const double> sums);

}  // namespace nibble
