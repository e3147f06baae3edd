#include "export/export.h"

#include <filesystem>

#include "export/model_card.h"
#include "quant/artifact.h"

namespace nibble {
namespace {

constexpr const ExportFormat* kFormats[] = {
#define X(name) &kExport_##name,
#include "export/exports.inc"
#undef X
};

std::string names(std::span<const char* const> list) {
  return fmt::format("{}", fmt::join(list, ", "));
}

struct Target {
  const ExportFormat* format = nullptr;
  std::string flavour;
};

Result<Target> parse_target(const std::string& text) {
  size_t colon = text.find(':');
  std::string name = text.substr(0, colon);
  Target out{find_export_format(name), ""};
  if (!out.format) {
    std::vector<const char*> known;
    for (const ExportFormat* f : kFormats) known.push_back(f->name);
    return usage("--to {}: no such format; known: {}", in_quotes(name), names(known));
  }
  if (colon == text.npos) return out;
  out.flavour = text.substr(colon + 1);
  std::span<const char* const> flavours = out.format->flavours;
  if (std::find(flavours.begin(), flavours.end(), out.flavour) == flavours.end())
    return usage("--to {}: {} has no flavour {}; known: {}", in_quotes(text), name,
                 in_quotes(out.flavour), names(flavours));
  return out;
}

Status check_output(const ExportOptions& o, const std::string& model) {
  std::error_code ec;
  if (path_exists(o.output) && std::filesystem::equivalent(o.output, model, ec))
    return fail("{}: is the model itself; name another output folder", o.output);
  if (!o.force && path_exists(o.output))
    return fail("{}: already exists; name another folder or give --force", o.output);
  return {};
}

Result<int64_t> folder_bytes(const std::string& folder) {
  int64_t sum = 0;
  for (const std::string& name : NB_TRY(list_files(folder))) {
    std::error_code ec;
    auto size = std::filesystem::file_size(folder + "/" + name, ec);
    if (ec) return fail("{}/{}: {}", folder, name, ec.message());
    sum += static_cast<int64_t>(size);
  }
  return sum;
}

// Sequences that a graph of a fixed shape holds.
EvaluationOptions evaluation_options(const ExportOptions& o) {
  EvaluationOptions out{o.eval_text, {}, Activations::kFloat};
  out.windows.tokens = o.eval_tokens;
  if (o.fixed.context > 0) out.windows.context = std::min(out.windows.context, o.fixed.context);
  return out;
}

Result<std::optional<Weights>> open_reference(const ExportOptions& o) {
  if (o.eval_against.empty()) return std::nullopt;
  return NB_TRY(Weights::open(o.eval_against));
}

const std::string& tokenizer_of(const ExportOptions& o, const ExportRequest& request) {
  return o.eval_against.empty() ? request.folder() : o.eval_against;
}

// Runs what was written where Weights opens it, and else the source if that is the same.
Status measure(const ExportOptions& o, const ExportRequest& request, const std::string& folder,
               ExportReport& report) {
  const ExportFormat& format = *report.format;
  ExportMeasurement out;
  if (format.arithmetic) out.arithmetic = format.arithmetic(report.plan.flavour);
  if (out.arithmetic.beyond) {
    report.unmeasured = fmt::format("not measured: {}", out.arithmetic.beyond);
    return {};
  }
  out.through_source = format.read_back != read_back_folder;
  if (out.through_source && !report.round_trip.lossless()) {
    report.unmeasured =
        "not measured: its weights differ from the model's, and nibble runs no such file";
    return {};
  }
  std::string folder_run = out.through_source ? request.folder() : folder;
  EvaluationOptions options = evaluation_options(o);
  options.activations = out.arithmetic.activations;
  out.loss = NB_TRY(evaluate(NB_TRY(Weights::open(folder_run)), NB_TRY(open_reference(o)),
                             tokenizer_of(o, request), options));
  report.measurement = out;
  return {};
}

}  // namespace

Status read_back_written(const ExportRequest& request, const ExportOptions& o,
                         const std::string& folder, ExportReport& report) {
  report.round_trip = NB_TRY(report.format->read_back(request, folder));
  if (report.plan.exact && report.round_trip.exact != report.round_trip.linears)
    return fail("{}: {} was to keep every weight and did not ({}); please report this", o.output,
                report.format->name, report.round_trip.verdict());
  return {};
}

Status measure_written(const ExportRequest& request, const ExportOptions& o,
                       const std::string& folder, ExportReport& report) {
  if (!o.eval_text.empty()) NB_OK(measure(o, request, folder, report));
  if (!o.consumer) return {};
  report.consumer =
      NB_TRY(measure_in_consumer(*o.consumer,
                                 {folder, report.format->name, request.model.config(),
                                  tokenizer_of(o, request), NB_TRY(open_reference(o))},
                                 evaluation_options(o)));
  return {};
}

Result<RoundTrip> verify_export(const std::string& folder, const std::string& against) {
  Weights source = NB_TRY(Weights::open(against));
  std::string path = folder + "/nibble.json";
  if (path_exists(path)) {
    Json record = NB_TRY(read_json(path));
    std::string name = NB_TRY(get_string(record, "format", "", path));
    const ExportFormat* f = find_export_format(name);
    if (f && f->read_back != read_back_folder) {
      std::string flavour = NB_TRY(get_string(record, "flavour", "", path));
      bool known = std::ranges::find(f->flavours, flavour) != f->flavours.end();
      if (!known && !f->flavours.empty())
        return fail("{}: {} has no flavour {}", path, name, in_quotes(flavour));
      return f->read_back({source, flavour}, folder);
    }
  }
  return compare_weights(source, NB_TRY(Weights::open(folder)));
}

Status check_export_target(const std::string& target) {
  NB_TRY(parse_target(target));
  return {};
}

std::span<const ExportFormat* const> export_formats() { return kFormats; }

const ExportFormat* find_export_format(std::string_view name) {
  for (const ExportFormat* f : kFormats)
    if (name == f->name) return f;
  return nullptr;
}

Result<ExportReport> export_model(const ExportOptions& o) {
  Target target = NB_TRY(parse_target(o.target));
  if (o.fixed.given() && !target.format->fixed_shapes)
    return usage("--context, --prefill, --calibration: {} has no fixed shapes or ranges",
                 target.format->name);
  NB_OK(check_output(o, o.model));
  Weights model = NB_TRY(Weights::open(o.model));
  if (o.part_bytes > 0 && std::string_view(target.format->name) != "gguf")
    return usage("--split-size is of gguf, not of {}", target.format->name);
  ExportRequest request{
      .model = model, .flavour = target.flavour, .fixed = o.fixed, .part_bytes = o.part_bytes};
  ExportReport report;
  report.format = target.format;
  report.plan = NB_TRY(target.format->plan(request));
  if (o.dry_run) return report;
  OutputFolder out = NB_TRY(OutputFolder::create(o.output, o.force, /*keep=*/false));
  NB_OK(copy_side_files(out, request.folder()));
  NB_OK(target.format->write(request, report.plan, out));
  NB_OK(read_back_written(request, o, out.staging(), report));
  NB_OK(measure_written(request, o, out.staging(), report));
  NB_OK(describe_export(request, report, o, out.staging()));
  report.bytes = NB_TRY(folder_bytes(out.staging()));
  NB_OK(out.publish());
  return report;
}

}  // namespace nibble
