// A recipe says which matrices of a model are quantized how: rules for layers and module names,
// first match wins, and the options of the methods. `nibble quantize`'s flags, its presets and a
// file all become the same entries here.
//
//   layers 0-7: w8g256 rtn      # the first 8 blocks
//   rest: w4g128 gptq           # every other linear of the blocks
//   embedding: w8
//
// A rule is SELECTOR: SCHEME [METHOD], or SELECTOR: float for what stays as it is. Selectors: see
// ModuleSelector. The scheme of "rest" may be one of llama.cpp's mixtures (q4_k_m), which says of
// each linear, the embedding and the head which block type it gets. Options are other keys: method
// (of rules that name none), preset, damping, order, scale-type, windows, ... (recipe_options.cc).
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/json.h"
#include "model/gguf/mix.h"
#include "model/roles.h"
#include "quant/calibration.h"
#include "quant/methods/method.h"
#include "quant/module_selector.h"
#include "quant/preparation.h"

namespace nibble {

// One line of a recipe and where it stands: a file's name, or empty for the command line.
struct RecipeEntry {
  std::string key, value, from;
};

// What becomes of one matrix.
struct ModuleChoice {
  std::optional<Scheme> scheme;    // none: it stays as it is
  const Method* method = nullptr;  // where there is a scheme
  const GgufMix* mix = nullptr;    // of a rule whose scheme is that mixture's main type

  std::string scheme_name() const { return mix ? mix->name : scheme ? scheme->name() : "float"; }
};

// The choices for one model's matrices.
class Plan {
 public:
  const ModuleChoice& of(const std::string& module) const { return choices_.at(module); }
  // What the methods of these linears need to know of their input.
  InputStatistics::Need need(const std::vector<LinearSpec>& linears) const;
  // The same for the whole model.
  InputStatistics::Need need() const;
  // Of all matrices that get one.
  const std::map<std::string, ModuleChoice>& choices() const { return choices_; }
  // Some method makes use of the drift from the float model, which its `need` does not ask for.
  bool takes_drift() const;
  // Some method learns from whole blocks' outputs.
  bool tunes_blocks() const;
  const DistillationPlan& distillation() const { return distillation_; }
  // The linears that stay as they are, the head with them.
  std::vector<std::string> float_linears() const;
  // What becomes a GGUF file: all matrices with a scheme lie in ggml's blocks.
  bool blocks() const { return blocks_; }
  // The mixture that the rest of the linears has, or null.
  const GgufMix* mix() const { return mix_; }
  // The head gets a matrix of its own although the model ties it to the embedding.
  bool unties_head() const { return unties_head_; }

 private:
  friend class Recipe;
  bool any(bool Method::* what) const;
  std::map<std::string, ModuleChoice> choices_;
  Status check_blocks(const DecoderConfig& config);
  bool unties_head_ = false, blocks_ = false;
  const GgufMix* mix_ = nullptr;
  std::string embedding_;
  DistillationPlan distillation_;
};

// What the options set.
struct RecipeSettings {
  MethodOptions methods;
  std::optional<DistillationPlan::What> distill;  // else what a method of the recipe asks for
  int64_t distill_steps = 0;                      // 0: distillation.h's default
  // How many windows of how many tokens from which seed; the text is not a recipe's business.
  CalibrationOptions calibration;
  DType scale_type = DType::kF16;
  bool bitmaps =
      false;  // matrices whose zeros make that smaller are stored as sparse_bitmap.h says
  std::string default_method = "rtn";   // of rules that name none
  std::vector<std::string> transforms;  // by name, in their order
  TransformOptions transform_options;
  std::optional<RangeRule> ranges;        // of static inputs
  std::vector<std::string> float_inputs;  // InputRules::float_inputs
};

class Recipe {
 public:
  // Entries in order of precedence. Fails, naming the entry, for unknown keys, an option given
  // twice, schemes and methods that do not exist, and methods that the embedding or the head cannot
  // take.
  static Result<Recipe> build(const std::vector<RecipeEntry>& entries);

  // Fails for a rule that decides nothing in this model and for a linear that no rule names.
  Result<Plan> resolve(const DecoderConfig& config) const;
  // Some rule has a scheme of ggml's blocks, so that the artifact is a GGUF file.
  bool blocks() const;

  const RecipeSettings& settings() const { return settings_; }
  // All of it after defaults: {"rules": ["rest: w4g128 gptq"], "damping": 0.01, ...}; read_recipe
  // reads it back.
  Json json() const;
  // "w4g128 by gptq", or "mixed: " and the schemes, for one line of a report.
  std::string scheme_summary() const;
  std::string method_summary() const;

 private:
  struct Rule {
    ModuleSelector selector;
    ModuleChoice choice;
    std::string from;
  };
  Status add_rule(const RecipeEntry& entry);
  // The choice for one matrix, where a mixture decides it: `type` for rows of k.
  static ModuleChoice choice_of_mix(const ModuleChoice& rule, const GgmlType& type, int64_t k);

  std::vector<Rule> rules_;
  RecipeSettings settings_;
};

// One option of a recipe, which is a flag of `nibble quantize` too: a row of the table in
// recipe_options.cc.
struct RecipeOption {
  const char* key;
  const char* help;
  // Fails with what is wrong about the text.
  Status (*set)(RecipeSettings& settings, const std::string& text);
  Json (*get)(const RecipeSettings& settings);  // null: not written, the rules spell it out
};
std::span<const RecipeOption> recipe_options();

// Named recipes, whose entries stand behind a file's own: their options are defaults.
struct RecipePreset {
  const char* name;
  const char* summary;
  std::vector<RecipeEntry> entries;
};
std::span<const RecipePreset> recipe_presets();

// The entries of a YAML file, or of a JSON file: a recipe, or a nibble.json that holds one.
Result<std::vector<RecipeEntry>> read_recipe(const std::string& path);

}  // namespace nibble
