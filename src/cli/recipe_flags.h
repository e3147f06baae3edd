// The flags that say how a model is quantized: each is an entry of a recipe.
#pragma once

#include <map>
#include <string>

#include "cli/commands.h"
#include "quant/recipe.h"

namespace nibble {

struct RecipeFlags {
  std::string file, preset, scheme, head, embedding;
  std::map<std::string, std::string> options;  // by RecipeOption::key
};

void add_recipe_options(CLI::App& app, RecipeFlags& flags);

// The file's entries and then the flags'; where none of them says what the blocks become,
// w4g128-asym. A flag that repeats what the file says is wrong usage.
Result<std::vector<RecipeEntry>> entries_of(const RecipeFlags& flags);

}  // namespace nibble
