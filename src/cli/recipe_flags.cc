#include "cli/recipe_flags.h"

#include "tensor/ggml_grids.h"

namespace nibble {
namespace {

std::string method_help(const char* help) {
  std::string out = help;
  for (const Method& m : known_methods()) out += fmt::format("\n  {}: {}", m.name, m.summary);
  return out;
}

std::string transform_help(const char* help) {
  std::string out = std::string(help) + ":";
  for (const Transform& t : known_transforms()) out += fmt::format("\n  {}: {}", t.name, t.summary);
  return out;
}

std::string help_of(const RecipeOption& o) {
  if (std::string_view(o.key) == "method") return method_help(o.help);
  if (std::string_view(o.key) == "transforms") return transform_help(o.help);
  return o.help;
}

std::string mix_names() {
  std::string out;
  for (const GgufMix& m : kGgufMixes)
    if (ggml_grids(*find_ggml_type(std::string_view(m.type))))
      out += (out.empty() ? "" : ", ") + std::string(m.name);
  return out;
}

std::string preset_help() {
  std::string out = "A recipe by name; what else is given comes before it:";
  for (const RecipePreset& p : recipe_presets())
    out += fmt::format("\n  {}: {}", p.name, p.summary);
  return out;
}

}  // namespace

void add_recipe_options(CLI::App& app, RecipeFlags& f) {
  app.add_option("--recipe", f.file,
                 "YAML file of rules SELECTOR: SCHEME [METHOD] and options, first match wins, as\n"
                 "  layers 0-7: w8g256 rtn\n  rest: w4g128 gptq\n  embedding: w8\n"
                 "or an artifact's nibble.json: the same again")
      ->type_name("FILE");
  app.add_option("--preset", f.preset, preset_help());
  app.add_option(
      "--scheme", f.scheme,
      "w{2..8}[g{N}|t][-asym|-full]: bits, group of N columns (none: per output row, t: per "
      "tensor), grid (default: w4g128-asym); or llama.cpp's, for a GGUF file: " +
          mix_names());
  app.add_option("--head", f.head, "Quantize the output head too, to this scheme, as w8");
  app.add_option("--embedding", f.embedding,
                 "Quantize the embedding too, to this scheme; a tied head runs from it");
  for (const RecipeOption& o : recipe_options())
    app.add_option_function<std::string>(
        std::string("--") + o.key,
        [&f, key = std::string(o.key)](const std::string& text) { f.options[key] = text; },
        help_of(o));
}

Result<std::vector<RecipeEntry>> entries_of(const RecipeFlags& f) {
  std::vector<RecipeEntry> entries;
  if (!f.file.empty()) entries = NB_TRY(read_recipe(f.file));
  auto add_rule = [&](const char* key, const std::string& value) -> Status {
    for (const RecipeEntry& e : entries)
      if (e.key == key)
        return usage("{} says what {} becomes; leave the flag out", e.from,
                     std::string_view(key) == "rest" ? "the rest" : "the " + e.key);
    entries.push_back({key, value, ""});
    return {};
  };
  if (!f.scheme.empty()) NB_OK(add_rule("rest", f.scheme));
  if (!f.head.empty()) NB_OK(add_rule("head", f.head));
  if (!f.embedding.empty()) NB_OK(add_rule("embedding", f.embedding));
  for (const auto& [key, value] : f.options) entries.push_back({key, value, ""});
  if (!f.preset.empty()) entries.push_back({"preset", f.preset, ""});
  if (f.file.empty() && f.preset.empty() && f.scheme.empty())
    entries.push_back({"rest", "w4g128-asym", ""});
  return entries;
}

}  // namespace nibble
