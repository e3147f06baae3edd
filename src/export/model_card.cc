#include "export/model_card.h"

#include <algorithm>
#include <filesystem>

#include "export/gguf_artifact.h"
#include "export/source_license.h"
#include "formats/gguf_model.h"

namespace nibble {
namespace {

std::string base_of(const ExportRequest& request, const std::string& given) {
  if (!given.empty()) return given;
  const Json& config = request.model.checkpoint().config();
  auto it = config.find("_name_or_path");
  if (it == config.end() || !it->is_string()) return "";
  auto name = it->get<std::string>();
  return is_hub_name(name) ? name : "";
}

Json record_of(const ExportRequest& request, const ExportReport& report, const Json& source,
               const std::string& base, const ExportOptions& o) {
  Json j = {{"nibble", NIBBLE_VERSION},
            {"format", report.format->name},
            {"flavour", report.plan.flavour},
            {"consumer", report.format->consumer},
            {"model_type", request.model.config().model_type},
            {"exported_from", report.source_digest}};
  if (!base.empty()) j["base_model"] = base;
  for (const char* key : {"source", "recipe", "calibration"})
    if (source.contains(key)) j[key] = source[key];
  if (!report.ranges.is_null()) j["ranges"] = report.ranges;
  j.update(request.model.input_rules().to_json());
  const SizeReport& size = report.round_trip.size;
  if (size.linear_weights > 0) {
    j["bits_per_weight"] = size.bits_per_weight();
    j["file_bits"] = size.file_bits();
    j["parameters"] = size.parameters;
  }
  j["round_trip"] = report.round_trip.json();
  j["loss"] = loss_of(report, o);
  j["notes"] = report.plan.notes;
  return j;
}

std::string text_name(const ExportOptions& o) {
  return std::filesystem::path(o.eval_text).filename().string();
}

Json figures_of(const Evaluation& loss) {
  const Comparison& s = loss.scores;
  Json j = {{"tokens", loss.tokens}, {"perplexity", s.perplexity}};
  if (loss.compared)
    j.update({{"reference_perplexity", s.reference_perplexity},
              {"perplexity_ratio", s.ratio},
              {"kl_mean", s.kl_mean},
              {"kl_p99", s.kl_p99},
              {"top1", s.top1}});
  return j;
}

std::string figures_text(const Evaluation& loss) {
  const Comparison& s = loss.scores;
  std::string out;
  if (loss.compared)
    out = fmt::format("KL {:.5f} nats a token, top-1 {:.2f} %, ", s.kl_mean, 100 * s.top1);
  out += fmt::format("perplexity {:.4f}", s.perplexity);
  if (loss.compared) out += fmt::format(" (float model: {:.4f})", s.reference_perplexity);
  return out + fmt::format(", on {} held-out tokens", loss.tokens);
}

// The hash of the tokens that an artifact was calibrated on, its own or its statistics'; or null.
Json calibration_hash(const Json& record) {
  for (const char* at : {"/calibration/hash", "/calibration/statistics/hash"})
    if (Json::json_pointer pointer(at); record.contains(pointer)) return record[pointer];
  return nullptr;
}

std::string header(const ExportReport& report, const std::string& base,
                   const std::string& license) {
  std::string out = "---\n" + license;
  if (!base.empty()) out += fmt::format("base_model: {}\nbase_model_relation: quantized\n", base);
  out += fmt::format("library_name: {}\npipeline_tag: text-generation\nquantized_by: nibble\n",
                     report.format->library);
  return out + fmt::format("tags:\n- nibble\n- quantized\n- {}\n---\n", report.format->name);
}

Status write_card(const ExportRequest& request, const ExportReport& report, const Json& record,
                  const std::string& base, const std::string& folder) {
  const ExportFormat& f = *report.format;
  std::string out = header(report, base, license_lines(request.folder()));
  out += fmt::format("\n# {}, {} ({})\n\n", base.empty() ? "Quantized model" : base, f.name,
                     report.plan.flavour);
  out += fmt::format("Written by nibble {} for {}.\n\n", NIBBLE_VERSION, f.consumer);
  auto row = [&](const char* what, const std::string& value) {
    out += fmt::format("| {} | {} |\n", what, value);
  };
  out += "| | |\n|---|---|\n";
  row("architecture", record["model_type"].get<std::string>());
  if (record.contains("bits_per_weight"))
    row("bits per weight",
        fmt::format("{:.3f} in the blocks' linears, {:.3f} over the whole file",
                    record["bits_per_weight"].get<double>(), record["file_bits"].get<double>()));
  row("read back", report.round_trip.verdict());
  row("loss", loss_text(report));
  if (report.consumer) row("loss in its consumer", consumer_text(*report.consumer));
  if (record.contains("recipe") && record["recipe"].contains("rules"))
    for (const Json& rule : record["recipe"]["rules"])
      if (rule.is_string()) row("quantized by", "`" + rule.get<std::string>() + "`");
  if (Json hash = calibration_hash(record); !hash.is_null()) row("calibration tokens", hash.dump());
  if (record.contains("ranges")) row("tokens of its ranges", record["ranges"]["hash"].dump());
  row("hash of what it was made from", "`" + record["exported_from"].get<std::string>() + "`");
  if (!report.plan.notes.empty()) out += "\nTo know:\n\n";
  for (const std::string& note : report.plan.notes) out += "- " + note + "\n";
  return write_file(folder + "/README.md", out + "\n`nibble.json` has the same for programs.\n");
}

}  // namespace

bool is_hub_name(const std::string& text) {
  constexpr size_t kLongest = 200;
  return text.find('/') != text.npos && text.front() != '/' && text.front() != '.' &&
         text.size() < kLongest &&
         std::ranges::all_of(
             text,
             [](unsigned char c) {
               return std::isalnum(c) != 0 || c == '/' || c == '-' || c == '_' || c == '.';
             });
}

Result<Json> source_record(const std::string& model) {
  std::string place = model + "/nibble.json";
  Json j = Json::object();
  if (path_exists(place)) {
    j = NB_TRY(read_json(place));
  } else if (is_gguf_model(model)) {
    place = model + ": " + kGgufOrigin;
    GgufModel file = NB_TRY(GgufModel::open(model));
    if (const auto* origin = file.find<std::string_view>(kGgufOrigin))
      j = NB_TRY(parse_json(*origin, place));
  }
  if (!j.is_object()) return fail("{}: should be a JSON object", place);
  return j;
}

Json loss_of(const ExportReport& report, const ExportOptions& o) {
  Json j;
  if (report.measurement) {
    const auto& [loss, arithmetic] = *report.measurement;
    j = {{"text", text_name(o)}, {"arithmetic", arithmetic.what}, {"ran", "this file"}};
    j.update(figures_of(loss));
  } else {
    j = {{"unknown", report.unmeasured}};
  }
  if (!report.consumer) return j;
  const ConsumerLoss& c = *report.consumer;
  if (c.name.empty()) {
    j["consumer"] = {{"unknown", c.unknown}};
  } else {
    j["consumer"] = {{"by", c.name}, {"text", text_name(o)}};
    j["consumer"].update(figures_of(c.loss));
  }
  return j;
}

std::string loss_text(const ExportReport& report) {
  if (!report.measurement) return "unknown: " + report.unmeasured;
  return fmt::format("{}; {}", figures_text(report.measurement->loss),
                     report.measurement->arithmetic.what);
}

std::string consumer_text(const ConsumerLoss& c) {
  if (c.name.empty()) return "unknown: " + c.unknown;
  return fmt::format("{}; {}", figures_text(c.loss), c.name);
}

Status describe_export(const ExportRequest& request, const ExportReport& report,
                       const ExportOptions& options, const std::string& folder) {
  std::string base = base_of(request, options.base_model);
  Json record = record_of(request, report, NB_TRY(source_record(request.folder())), base, options);
  NB_OK(write_file(folder + "/nibble.json", record.dump(2) + "\n"));
  return write_card(request, report, record, base, folder);
}

Result<Json> describe_artifact(const ExportRequest& request, const ExportReport& report,
                               const ExportOptions& options, const Json& origin,
                               const std::string& folder) {
  std::string base = base_of(request, options.base_model);
  Json record = record_of(request, report, origin, base, options);
  NB_OK(write_card(request, report, record, base, folder));
  record.erase("exported_from");  // it is "source"
  return record;
}

}  // namespace nibble
