#include "export/export.h"

#include <algorithm>
#include <filesystem>

#include "base/deferred_sync.h"
#include "export/exported_weights.h"
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

bool is_quantized(const Weights& model) {
  return std::ranges::any_of(all_matrices(model.config()),
                             [&](const MatrixSpec& m) { return model.quantizes(m.module); });
}

// What was written to `folder`, ready to run.
Result<Weights> written_model(const ExportFormat& format, const ExportRequest& request,
                              const std::string& folder) {
  if (!format.open) return Weights::open(folder);
  return exported_model(request.model, NB_TRY(format.open(request, folder)));
}

// Runs what was written, and a quantized source too where weights were rounded anew.
Status measure(const ExportOptions& o, const ExportRequest& request, const std::string& folder,
               ExportReport& report) {
  const ExportFormat& format = *report.format;
  ExportMeasurement out;
  if (format.arithmetic) out.arithmetic = format.arithmetic(request.model, report.plan.flavour);
  RoundTrip& trip = report.round_trip;
  if (format.open && trip.foreign_vectors > 0) {
    report.unmeasured = "not measured: its norms or biases differ from the model's";
    return {};
  }
  EvaluationOptions options = evaluation_options(o);
  options.activations = out.arithmetic.activations;
  auto run = [&](Weights model) -> Result<Evaluation> {
    return evaluate(std::move(model), NB_TRY(open_reference(o)), tokenizer_of(o, request), options);
  };
  out.loss = NB_TRY(run(NB_TRY(written_model(format, request, folder))));
  // The model itself has no ranges of what its linears give: it runs on floats beside such a file.
  if (format.ranges && format.ranges(report.plan.flavour) == FixedRanges::kAll)
    options.activations = Activations::kFloat;
  if (out.loss.compared && trip.exact != trip.linears && is_quantized(request.model))
    trip.kl_added = out.loss.scores.kl_mean - NB_TRY(run(request.model)).scores.kl_mean;
  report.measurement = out;
  return {};
}

Result<RoundTrip> read_back(const ExportFormat& format, const ExportRequest& request,
                            const std::string& folder) {
  if (!format.open) return compare_weights(request.model, NB_TRY(Weights::open(folder)));
  return compare_exported(request.model, *NB_TRY(format.open(request, folder)));
}

FixedRanges ranges_of(const Target& target) {
  return target.format->ranges ? target.format->ranges(target.flavour) : FixedRanges::kNone;
}

Status check_ranges(const ExportOptions& o, const Target& target) {
  FixedRanges taken = ranges_of(target);
  if (o.ranges.given() && taken == FixedRanges::kNone)
    return usage("--calibration, --statistics: {} fixes no ranges of activations", o.target);
  if (taken != FixedRanges::kAll || !o.ranges.calibration.text.empty()) return {};
  if (!o.ranges.statistics.empty())
    return usage("--statistics: {} fixes ranges of what linears give too; give --calibration TEXT",
                 o.target);
  return fail("{}: {} needs ranges of activations: give --calibration TEXT", o.model, o.target);
}

}  // namespace

Status read_back_written(const ExportRequest& request, const ExportOptions& o,
                         const std::string& folder, ExportReport& report) {
  report.round_trip = NB_TRY(read_back(*report.format, request, folder));
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
    if (f && f->open) {
      std::string flavour = NB_TRY(get_string(record, "flavour", "", path));
      bool known = std::ranges::find(f->flavours, flavour) != f->flavours.end();
      if (!known && !f->flavours.empty())
        return fail("{}: {} has no flavour {}", path, name, in_quotes(flavour));
      if (record.contains("ranges")) source = NB_TRY(with_input_scales(source, nullptr));
      return read_back(*f, {source, flavour}, folder);
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

FixedRanges fixed_ranges(const std::string& target) {
  Result<Target> parsed = parse_target(target);
  return parsed ? ranges_of(*parsed) : FixedRanges::kNone;
}

Result<ExportReport> export_model(const ExportOptions& o) {
  Target target = NB_TRY(parse_target(o.target));
  if (o.fixed.given() && !target.format->fixed_shapes)
    return usage("--context, --prefill: {} has no fixed shapes", target.format->name);
  if (!o.base_model.empty() && !is_hub_name(o.base_model))
    return usage("--base-model {}: should be the Hub's name of a model, as org/name",
                 in_quotes(o.base_model));
  NB_OK(check_ranges(o, target));
  NB_OK(check_output(
      o.output, o.force,
      {o.model, o.eval_against, o.eval_text, o.ranges.calibration.text, o.ranges.statistics}));
  const Weights source = NB_TRY(Weights::open(o.model));
  if (o.part_bytes > 0 && std::string_view(target.format->name) != "gguf")
    return usage("--split-size is of gguf, not of {}", target.format->name);
  bool all = ranges_of(target) == FixedRanges::kAll;
  bool gather = o.ranges.given() && (all || lacks_input_scales(source));
  Weights model = gather && !all ? NB_TRY(with_input_scales(source, nullptr)) : source;
  ExportRequest request{
      .model = model, .flavour = target.flavour, .fixed = o.fixed, .part_bytes = o.part_bytes};
  ExportReport report;
  report.format = target.format;
  report.plan = NB_TRY(target.format->plan(request));
  if (o.ranges.given() && !gather)
    report.plan.notes.emplace_back(
        "Ranges of inputs are the model's own (--input-ranges), not those of the text given.");
  if (o.dry_run) return report;
  ActivationRanges ranges;
  if (gather) ranges = NB_TRY(find_ranges(source, o.ranges, report.ranges));
  if (gather && !all) model = NB_TRY(with_input_scales(source, &ranges));
  request.ranges = &ranges;
  OutputFolder out = NB_TRY(OutputFolder::create(o.output, o.force, /*keep=*/false));
  DeferredSync syncs(out.staging());
  NB_OK(copy_side_files(out, request.folder()));
  NB_OK(target.format->write(request, report.plan, out));
  NB_OK(read_back_written(request, o, out.staging(), report));
  NB_OK(measure_written(request, o, out.staging(), report));
  report.source_digest = NB_TRY(source.digest());
  NB_OK(describe_export(request, report, o, out.staging()));
  report.bytes = NB_TRY(folder_bytes(out.staging()));
  NB_OK(syncs.finish());
  NB_OK(out.publish());
  return report;
}

}  // namespace nibble
