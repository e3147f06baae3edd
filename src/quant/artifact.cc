#include "quant/artifact.h"

#include <algorithm>
#include <array>
#include <filesystem>
#include <set>

#include "base/text.h"
#include "formats/compressed_tensors.h"
#include "formats/ggml_tensors.h"
#include "formats/safetensors.h"
#include "model/size.h"
#include "text/gguf_tokenizer.h"

namespace nibble {
namespace {

constexpr const char* kNibbleOnlyFormat = "nibble-only";  // compressed_tensors_config.cc reads it

bool is_side_file(const std::string& name) {
  static const std::set<std::string> kNames = {
      "tokenizer.json",          "tokenizer.model",     "tokenizer_config.json",
      "special_tokens_map.json", "vocab.json",          "merges.txt",
      "added_tokens.json",       "chat_template.jinja", "chat_template.json",
      "generation_config.json"};
  static constexpr std::array kBegins = {"license", "licence", "notice", "use_policy"};
  std::string lower = lower_ascii(name);
  return kNames.contains(name) ||
         std::ranges::any_of(kBegins, [&](const char* begin) { return lower.starts_with(begin); });
}

Json calibration_json(const ArtifactRecord& r) {
  if (!r.statistics.is_null()) return {{"statistics", r.statistics["calibration"]}};
  if (r.windows.windows.empty()) return nullptr;
  return {{"source", r.windows.source}, {"hash", r.windows.hash}, {"tokens", r.windows.tokens()}};
}

struct Layout {
  std::vector<QuantizedModule> modules;
  std::vector<std::pair<int64_t, int64_t>> shapes;
};

Result<Layout> layout_of(const ArtifactRecord& record) {
  Layout out;
  for (const ModuleReport& m : record.modules) {
    out.modules.push_back({m.module, NB_TRY(Scheme::parse(m.scheme))});
    out.shapes.emplace_back(m.n, m.k);
  }
  return out;
}

// Other loaders must stop at a folder that they would read wrongly. A config group's format that it
// does not know is an error to compressed-tensors; an unknown quant_method would not be one:
// transformers warns and goes on with random weights (docs/FORMATS.md).
void claim_for_nibble(Json& quantization) {
  for (Json& group : quantization["config_groups"]) group["format"] = kNibbleOnlyFormat;
  quantization["format"] = kNibbleOnlyFormat;
}

Json record_json(const ArtifactRecord& r, const SizeReport& size, Json consumers) {
  Json tensors = Json::array();
  for (const ModuleReport& m : r.modules)
    tensors.push_back({{"module", m.module}, {"scheme", m.scheme}, {"error", m.error}});
  Json j = fingerprint(r);
  j["bits_per_weight"] = size.bits_per_weight();
  j["file_bits"] = size.file_bits();
  j["parameters"] = size.parameters;
  j["consumers"] = std::move(consumers);
  j["notes"] = r.notes;
  j["tensors"] = std::move(tensors);
  return j;
}

}  // namespace

Json fingerprint(const ArtifactRecord& r) {
  Json j;
  j["nibble"] = NIBBLE_VERSION;
  j["source"] = r.source_digest;
  j["recipe"] = r.recipe.json();
  j["calibration"] = calibration_json(r);
  j.update(r.inputs.to_json());
  return j;
}

Status publish_gguf(const OutputFolder& out, const std::string& path) {
  if (is_folder(path))
    return fail("{}: is a folder, and a file shall have its name; remove it first", path);
  std::error_code ec;
  std::filesystem::rename(out.staging() + "/" + kGgufFile, path, ec);
  if (ec) return fail("{}: cannot publish: {}", path, ec.message());
  std::filesystem::remove_all(out.staging(), ec);
  if (ec) return fail("{}: written, but {} could not be removed", path, out.staging());
  return {};
}

Status copy_side_files(OutputFolder& out, const std::string& model) {
  if (is_gguf_model(model)) {
    for (const auto& [name, text] : NB_TRY(gguf_side_files(NB_TRY(GgufModel::open(model)))))
      NB_OK(write_file(out.staging() + "/" + name, text));
    return {};
  }
  for (const std::string& name : NB_TRY(list_files(model)))
    if (is_side_file(name)) NB_OK(out.copy_in(model + "/" + name, name));
  std::string templates = "additional_chat_templates", from = model + "/" + templates;
  if (!is_folder(from)) return {};
  std::string to = out.staging() + "/" + templates;
  std::error_code ec;
  std::filesystem::create_directory(to, ec);
  if (ec) return fail("{}: cannot create: {}", to, ec.message());
  for (const std::string& name : NB_TRY(list_files(from)))
    NB_OK(out.copy_in(from + "/" + name, templates + "/" + name));
  return {};
}

namespace {

// Everything of `floats` that the given tensors do not replace.
Result<std::vector<PendingTensor>> kept_tensors(const Weights& floats, const ArtifactRecord& record,
                                                const std::vector<NamedTensor>& tensors) {
  std::set<std::string> replaced;
  for (const ModuleReport& m : record.modules) replaced.insert(m.module + ".weight");
  for (const NamedTensor& t : tensors) replaced.insert(t.name);
  std::vector<PendingTensor> out;
  for (PendingTensor& t : NB_TRY(floats.float_tensors()))
    if (!replaced.contains(t.name)) out.push_back(std::move(t));
  return out;
}

// What was written is read back: the counts are of the files, and what we cannot open ourselves is
// never published.
Result<SizeReport> size_of(const std::string& written, const Weights& source) {
  SizeReport size = NB_TRY(measure_size(NB_TRY(Weights::open(written))));
  size.parameters = NB_TRY(measure_size(source)).parameters;
  return size;
}

}  // namespace

Status write_artifact(OutputFolder& out, const Weights& source, const Weights& floats,
                      const ArtifactRecord& record, std::vector<NamedTensor> tensors) {
  Layout layout = NB_TRY(layout_of(record));
  std::vector<PendingTensor> kept = NB_TRY(kept_tensors(floats, record, tensors));
  std::vector<PendingTensor> all = pending(std::move(tensors));
  for (PendingTensor& t : kept) all.push_back(std::move(t));
  NB_OK(write_sharded(out.staging(), std::move(all), kShardBytes));

  Json config = floats.checkpoint().config();
  if (record.plan.unties_head())
    for (Json* fields : {&config, &config["text_config"]})
      if (fields->is_object()) (*fields)["tie_word_embeddings"] = false;
  if (config["text_config"].is_null()) config.erase("text_config");
  std::vector<std::string> ignored = record.plan.float_linears();
  Json quantization = compressed_tensors_config(layout.modules, ignored);
  std::string only_nibble = record.recipe.settings().bitmaps
                                ? kBitmapsOnlyNibble
                                : why_only_nibble(layout.modules, layout.shapes);
  if (!only_nibble.empty()) claim_for_nibble(quantization);
  config["quantization_config"] = std::move(quantization);
  NB_OK(write_file(out.staging() + "/config.json", config.dump(2) + "\n"));
  NB_OK(copy_side_files(out, source.checkpoint().folder()));

  SizeReport size = NB_TRY(size_of(out.staging(), source));
  Json consumers = {"nibble"};
  if (only_nibble.empty()) consumers.push_back("transformers+compressed-tensors");
  Json json = record_json(record, size, std::move(consumers));
  if (!only_nibble.empty()) json["only_nibble_because"] = only_nibble;
  return write_file(out.staging() + "/nibble.json", json.dump(2) + "\n");
}

Status write_gguf_artifact(OutputFolder& out, const Weights& source, const Weights& floats,
                           const ArtifactRecord& record, std::vector<NamedTensor> tensors,
                           const GgufWriter& writer, int64_t part_bytes) {
  std::vector<PendingTensor> kept = NB_TRY(kept_tensors(floats, record, tensors));
  for (const PendingTensor& t : kept) tensors.push_back({t.name, NB_TRY(t.load())});
  std::map<std::string, Scheme> schemes;
  for (const ModuleReport& m : record.modules)
    schemes.emplace(m.module, NB_TRY(Scheme::parse(m.scheme)));
  bool tied = floats.config().tied_head && !record.plan.unties_head();
  Weights model = NB_TRY(Weights::of_tensors(floats, std::move(tensors),
                                             std::make_shared<GgmlTensors>(schemes), tied));
  NB_OK(copy_side_files(out, source.checkpoint().folder()));
  Json json = NB_TRY(
      writer.write(model, record.plan.mix(), fingerprint(record), out.staging(), part_bytes));
  Json traps = json["notes"];
  SizeReport size = NB_TRY(size_of(out.staging(), source));
  json.update(record_json(record, size, {"nibble", "llama.cpp", "ollama"}));
  for (Json& trap : traps) json["notes"].push_back(std::move(trap));
  return write_file(out.staging() + "/nibble.json", json.dump(2) + "\n");
}

}  // namespace nibble
