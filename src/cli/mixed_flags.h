// quantize's --target-*: flags, and how the chosen bits are shown.
#pragma once

#include <string>

#include "cli/recipe_flags.h"
#include "quant/mixed.h"

namespace nibble {

struct MixedFlags {
  double bits = 0, milliseconds = 0;
  std::string size, groups, picture;
  bool wanted() const { return bits > 0 || milliseconds > 0 || !size.empty(); }
};

void add_mixed_options(CLI::App& app, MixedFlags& flags);

// Whether a target chooses among GGUF's block types: by the output's name, or --scheme is such.
bool targets_gguf(const RecipeFlags& recipe, const QuantizeOptions& job);

// Measures, chooses, writes the picture where one is asked for, and sets the job's recipe.
Result<MixedResult> choose_bits(const MixedFlags& flags, const RecipeFlags& recipe,
                                QuantizeOptions& job);

// The front, thinned to points that differ by 2 % in size, with the chosen one.
Json mixed_json(const MixedResult& result);
void print_mixed(const MixedResult& result);

}  // namespace nibble
