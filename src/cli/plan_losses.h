// What quantizing costs each form of a plan: measured by really making it, estimated, or unknown.
#pragma once

#include "cli/plan_model.h"
#include "quant/loss_estimate.h"

namespace nibble {

// Where a plan's losses are from.
struct LossSource {
  std::string text;       // every form was made and measured on it; empty: none was
  int64_t tokens = 0;     // of it; 0: all
  LossEstimate estimate;  // of no tokens: there is none
  std::string unknown;    // why losses are unknown
};

// The arguments of `nibble quantize MODEL` that make this row.
std::vector<std::string> recipe_of(const PlanFlags& flags, const PlanRow& row);

// Fills in the rows' losses. Where neither --text nor --quick is given, a small model is measured
// on its own held_out.txt, else on the embedded model's, up to a bound; a large one's stay unknown.
Result<LossSource> find_losses(const PlanFlags& flags, const DecoderConfig& config,
                               std::vector<PlanRow>& rows);

}  // namespace nibble
