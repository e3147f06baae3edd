#include "quant/recipe.h"

#include <algorithm>
#include <set>

#include "tensor/ggml_grids.h"

namespace nibble {
namespace {

// A message about one entry: a file's are failures, the command line's wrong usage.
std::unexpected<Error> wrong(const RecipeEntry& entry, const std::string& message) {
  if (entry.from.empty()) return usage("{}", message);
  return fail("{}: {}: {}", entry.from, in_quotes(entry.key), message);
}

// SCHEME [METHOD], or "float". `mixes`: the scheme may be a mixture.
Result<ModuleChoice> parse_choice(const std::string& value, const std::string& default_method,
                                  bool mixes) {
  size_t space = value.find(' ');
  std::string scheme = value.substr(0, space), method = default_method;
  if (space != std::string::npos) method = value.substr(value.find_first_not_of(' ', space));
  if (value == "float") return ModuleChoice{};
  const GgufMix* mix = mixes ? find_gguf_mix(scheme) : nullptr;
  const GgmlType* main = mix ? find_ggml_type(std::string_view(mix->type)) : nullptr;
  if (main && !ggml_grids(*main)) mix = nullptr;  // of floats: nothing to quantize
  return ModuleChoice{mix ? Scheme::of_blocks(*main) : NB_TRY(Scheme::parse(scheme)),
                      NB_TRY(find_method(method)), mix};
}

std::string methods_for_blocks() {
  std::vector<std::string_view> names;
  for (const Method& m : known_methods())
    if (m.blocks) names.emplace_back(m.name);
  return fmt::format("{}", fmt::join(names, ", "));
}

struct Sorted {
  std::vector<RecipeEntry> rules;
  std::map<std::string, RecipeEntry> options;
};

const RecipeOption* find_option(const std::string& key) {
  for (const RecipeOption& o : recipe_options())
    if (key == o.key) return &o;
  return nullptr;
}

Result<Sorted> sort_entries(const std::vector<RecipeEntry>& entries) {
  Sorted out;
  for (const RecipeEntry& e : entries) {
    if (e.key != "preset" && !find_option(e.key)) {
      out.rules.push_back(e);
      continue;
    }
    auto [earlier, fresh] = out.options.try_emplace(e.key, e);
    if (!fresh)
      return usage("{} is given by {} and by {}; leave one out", e.key,
                   e.from.empty() ? "a flag" : e.from,
                   earlier->second.from.empty() ? "a flag" : earlier->second.from);
  }
  if (!out.options.contains("preset")) return out;
  RecipeEntry named = out.options.extract("preset").mapped();
  std::string known;
  for (const RecipePreset& preset : recipe_presets()) {
    known += (known.empty() ? "" : ", ") + std::string(preset.name);
    if (named.value != preset.name) continue;
    for (RecipeEntry e : preset.entries) {
      e.from = std::string("preset ") + preset.name;
      if (find_option(e.key))
        out.options.try_emplace(e.key, e);
      else
        out.rules.push_back(e);
    }
    return out;
  }
  return wrong(named, fmt::format("{} is not a preset; known: {}", in_quotes(named.value), known));
}

InputStatistics::Need more(InputStatistics::Need a, InputStatistics::Need b) {
  return std::max(a, b);
}

}  // namespace

InputStatistics::Need Plan::need(const std::vector<LinearSpec>& linears) const {
  auto need = InputStatistics::Need::kNothing;
  for (const LinearSpec& spec : linears)
    if (const ModuleChoice& choice = of(spec.module); choice.scheme)
      need = more(need, choice.method->need);
  return need;
}

InputStatistics::Need Plan::need() const {
  auto need = InputStatistics::Need::kNothing;
  for (const auto& [module, choice] : choices_)
    if (choice.scheme) need = more(need, choice.method->need);
  return need;
}

std::vector<std::string> Plan::float_linears() const {
  std::vector<std::string> out;
  for (const auto& [module, choice] : choices_)
    if (!choice.scheme && module != embedding_) out.push_back(module);
  return out;
}

Status Recipe::add_rule(const RecipeEntry& entry) {
  auto selector = ModuleSelector::parse(entry.key);
  if (!selector) {
    std::string options;
    for (const RecipeOption& o : recipe_options()) options += fmt::format(", {}", o.key);
    return wrong(entry, selector.error().message + "; options are preset" + options);
  }
  // What comes before and after the blocks is not calibrated on: nothing there to compensate.
  bool block = selector->kind() == ModuleSelector::Kind::kLinears;
  auto choice =
      parse_choice(entry.value, block ? settings_.default_method : "rtn", selector->is_rest());
  if (!choice) return wrong(entry, choice.error().message);
  if (choice->scheme) {
    if (!choice->scheme->blocks) choice->scheme->scale_type = settings_.scale_type;
    if (choice->scheme->blocks && !choice->method->blocks)
      return wrong(
          entry, fmt::format("{} cannot round to {}, a grid of GGUF; take {}", choice->method->name,
                             choice->scheme_name(), methods_for_blocks()));
    if (!block && choice->method->need != InputStatistics::Need::kNothing)
      return wrong(entry, fmt::format("takes methods without calibration, as rtn, not {}",
                                      choice->method->name));
  }
  rules_.push_back({*selector, *choice, entry.from});
  return {};
}

Result<Recipe> Recipe::build(const std::vector<RecipeEntry>& entries) {
  Sorted sorted = NB_TRY(sort_entries(entries));
  Recipe r;
  for (const RecipeOption& o : recipe_options()) {
    auto given = sorted.options.find(o.key);
    if (given == sorted.options.end()) continue;
    if (Status set = o.set(r.settings_, given->second.value); !set)
      return wrong(given->second, set.error().message);
  }
  for (const RecipeEntry& e : sorted.rules) NB_OK(r.add_rule(e));
  return r;
}

Result<Plan> Recipe::resolve(const DecoderConfig& c) const {
  std::vector<bool> used(rules_.size());
  auto choose = [&](auto&& matches) -> const ModuleChoice* {
    for (size_t i = 0; i < rules_.size(); ++i)
      if (matches(rules_[i].selector)) {
        used[i] = true;
        return &rules_[i].choice;
      }
    return nullptr;
  };
  Plan plan;
  for (int64_t layer = 0; layer < c.layers; ++layer)
    for (const LinearSpec& spec : block_linears(c, layer)) {
      auto* choice = choose([&](const auto& s) { return s.matches(layer, spec.module); });
      if (!choice)
        return usage(
            "no rule says what {} becomes; end the recipe with rest: SCHEME or rest: float",
            spec.module);
      plan.choices_[spec.module] = *choice;
      if (!choice->mix) continue;
      bool calibrated = choice->method->need != InputStatistics::Need::kNothing;
      plan.mix_ = choice->mix;
      plan.choices_[spec.module] = choice_of_mix(
          *choice, gguf_linear_type(*choice->mix, c, layer, spec.role, calibrated), spec.k);
    }
  using Kind = ModuleSelector::Kind;
  auto* embedding = choose([](const auto& s) { return s.kind() == Kind::kEmbedding; });
  auto* head = choose([](const auto& s) { return s.kind() == Kind::kHead; });
  plan.embedding_ = embedding_module(c);
  plan.choices_[plan.embedding_] = embedding ? *embedding : ModuleChoice{};
  plan.choices_[head_module(c)] = head ? *head : ModuleChoice{};
  if (plan.mix_) {
    int64_t k = c.embedding_width;
    ModuleChoice plain{std::nullopt, NB_TRY(find_method("rtn"))};
    if (!embedding)
      plan.choices_[plan.embedding_] =
          choice_of_mix(plain, gguf_embedding_type(*plan.mix_, c, k), k);
    if (!head && !c.tied_head)
      plan.choices_[head_module(c)] = choice_of_mix(plain, gguf_head_type(*plan.mix_, c, k), k);
  }
  plan.unties_head_ =
      c.tied_head && head && (head->scheme || plan.of(plan.embedding_).scheme.has_value());
  auto quantized = [](const auto& c) { return c.second.scheme.has_value(); };
  if (std::none_of(plan.choices_.begin(), plan.choices_.end(), quantized))
    return usage("the recipe quantizes nothing");
  for (size_t i = 0; i < rules_.size(); ++i)
    if (!used[i] && !rules_[i].selector.is_rest())
      return wrong({rules_[i].selector.text(), "", rules_[i].from},
                   fmt::format("the rule {} decides nothing: no module of the {} layers, or only "
                               "such as an earlier rule has taken",
                               in_quotes(rules_[i].selector.text()), c.layers));
  for (const auto& [module, choice] : plan.choices_)
    if (choice.scheme && choice.method->distillation.what != DistillationPlan::What::kNothing)
      plan.distillation_ = choice.method->distillation;
  NB_OK(plan.check_blocks(c));
  if (settings_.distill) plan.distillation_.what = *settings_.distill;
  plan.distillation_.steps = settings_.distill_steps;
  return plan;
}

ModuleChoice Recipe::choice_of_mix(const ModuleChoice& rule, const GgmlType& type, int64_t k) {
  const GgmlType& fitting = gguf_type_for_row(type, k);
  if (!ggml_grids(fitting)) return {};
  return {Scheme::of_blocks(fitting), rule.method};
}

bool Recipe::blocks() const {
  return std::ranges::any_of(
      rules_, [](const Rule& rule) { return rule.choice.scheme && rule.choice.scheme->blocks; });
}

// A GGUF file holds blocks and floats; rows are whole blocks.
Status Plan::check_blocks(const DecoderConfig& c) {
  std::map<std::string, int64_t> columns;
  for (const MatrixSpec& m : all_matrices(c)) columns[m.module] = m.k;
  std::string plain, blocks;
  for (const auto& [module, choice] : choices_) {
    if (!choice.scheme) continue;
    (choice.scheme->blocks ? blocks : plain) = choice.scheme->name();
    auto at = columns.find(module);
    int64_t k = at == columns.end() ? c.embedding_width : at->second;  // a tied head's
    if (choice.scheme->blocks && k % choice.scheme->blocks->block != 0)
      return usage("{} has {} columns, {} takes whole blocks of {}", module, k,
                   choice.scheme->name(), choice.scheme->blocks->block);
  }
  blocks_ = !blocks.empty();
  if (blocks_ && !plain.empty())
    return usage("{} lies in a GGUF file, {} in a folder: a recipe has schemes of one kind", blocks,
                 plain);
  return {};
}

bool Plan::any(bool Method::* what) const {
  return std::any_of(choices_.begin(), choices_.end(),
                     [&](const auto& c) { return c.second.scheme && c.second.method->*what; });
}
bool Plan::takes_drift() const { return any(&Method::takes_drift); }
bool Plan::tunes_blocks() const { return any(&Method::tunes_block); }

Json Recipe::json() const {
  Json out = {{"rules", Json::array()}};
  for (const Rule& rule : rules_)
    out["rules"].push_back(rule.selector.text() + ": " + rule.choice.scheme_name() +
                           (rule.choice.scheme ? " " + std::string(rule.choice.method->name) : ""));
  for (const RecipeOption& o : recipe_options())
    if (Json value = o.get(settings_); !value.is_null()) out[o.key] = std::move(value);
  return out;
}

// One name, or "mixed (a, b)" in the rules' order.
static std::string one_or_mixed(const std::vector<std::string>& names) {
  std::string list;
  std::set<std::string> seen;
  for (const std::string& name : names)
    if (seen.insert(name).second) list += (list.empty() ? "" : ", ") + name;
  return seen.size() > 1 ? "mixed (" + list + ")" : list;
}

std::string Recipe::scheme_summary() const {
  std::vector<std::string> names;
  for (const Rule& r : rules_)
    if (r.selector.kind() == ModuleSelector::Kind::kLinears)
      names.push_back(r.choice.scheme_name());
  return one_or_mixed(names);
}

std::string Recipe::method_summary() const {
  std::vector<std::string> names;
  for (const Rule& r : rules_)
    if (r.selector.kind() == ModuleSelector::Kind::kLinears && r.choice.scheme)
      names.emplace_back(r.choice.method->name);
  return names.empty() ? "none" : one_or_mixed(names);
}

}  // namespace nibble
