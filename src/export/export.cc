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
  Target out;
  std::vector<const char*> known;
  for (const ExportFormat* f : kFormats) {
    known.push_back(f->name);
    if (name == f->name) out.format = f;
  }
  if (!out.format)
    return usage("--to {}: no such format; known: {}", in_quotes(name), names(known));
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

}  // namespace

std::span<const ExportFormat* const> export_formats() { return kFormats; }

Result<ExportReport> export_model(const ExportOptions& o) {
  Target target = NB_TRY(parse_target(o.target));
  NB_OK(check_output(o, o.model));
  Weights model = NB_TRY(Weights::open(o.model));
  ExportRequest request{model, target.flavour};
  ExportReport report;
  report.format = target.format;
  report.plan = NB_TRY(target.format->plan(request));
  if (o.dry_run) return report;
  OutputFolder out = NB_TRY(OutputFolder::create(o.output, o.force, /*keep=*/false));
  NB_OK(target.format->write(request, report.plan, out));
  NB_OK(copy_side_files(out, request.folder()));
  report.round_trip = NB_TRY(target.format->read_back(request, out.staging()));
  if (report.plan.exact && report.round_trip.exact != report.round_trip.linears)
    return fail("{}: {} was to keep every weight and did not ({}); please report this", o.output,
                report.format->name, report.round_trip.verdict());
  NB_OK(describe_export(request, report, o.base_model, out.staging()));
  report.bytes = NB_TRY(folder_bytes(out.staging()));
  NB_OK(out.publish());
  return report;
}

}  // namespace nibble
