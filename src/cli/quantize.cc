#include <chrono>
#include <filesystem>
#include <memory>

#include "base/log.h"
#include "base/memory.h"
#include "cli/common.h"
#include "quant/job.h"

namespace nibble {
namespace {

struct Arguments {
  QuantizeOptions options;
  std::string scheme = "w4g128-asym", scale_type = "f16", head, order = "act";
  bool json = false;
};

const std::map<std::string, DType> kScaleTypes = {
    {"f16", DType::kF16}, {"bf16", DType::kBF16}, {"f32", DType::kF32}};
const std::map<std::string, ColumnOrder> kOrders = {{"act", ColumnOrder::kActivation},
                                                    {"gar", ColumnOrder::kGar},
                                                    {"natural", ColumnOrder::kNatural}};

std::string method_list() {
  std::string out = "How codes are chosen:";
  for (const Method& m : known_methods()) out += fmt::format("\n  {}: {}", m.name, m.summary);
  return out;
}

Status finish_options(Arguments& a) {
  QuantizeOptions& o = a.options;
  o.model = NB_TRY(model_folder(o.model));
  o.scheme = NB_TRY(Scheme::parse(a.scheme));
  o.scheme.scale_type = kScaleTypes.at(a.scale_type);
  if (!a.head.empty()) {
    o.head = NB_TRY(Scheme::parse(a.head));
    o.head->scale_type = o.scheme.scale_type;
  }
  o.method_options.order = kOrders.at(a.order);
  std::error_code ec;
  if (path_exists(o.output) && std::filesystem::equivalent(o.output, o.model, ec))
    return fail("{}: is the model itself; name another output folder", o.output);
  return {};
}

Json report_json(const Arguments& a, const QuantizeReport& r, double seconds, int64_t peak) {
  Json tensors = Json::array();
  for (const ModuleReport& m : r.record.modules)
    tensors.push_back({{"module", m.module}, {"scheme", m.scheme}, {"error", m.error}});
  return {{"output", a.options.output},
          {"scheme", a.options.scheme.name()},
          {"method", a.options.method},
          {"bpw", r.bits_per_weight},
          {"file_bpw", r.file_bits},
          {"bytes", r.bytes},
          {"calibration", r.record.windows.source},
          {"blocks_resumed", r.blocks_resumed},
          {"only_nibble_because", r.only_nibble},
          {"notes", r.record.notes},
          {"seconds", seconds},
          {"peak_rss_anon_bytes", peak},
          {"tensors", tensors}};
}

void print_report(const Arguments& a, const QuantizeReport& r, double seconds, int64_t peak) {
  double worst = 0;
  std::string worst_name;
  for (const ModuleReport& m : r.record.modules)
    if (m.error > worst) {
      worst = m.error;
      worst_name = m.module;
    }
  put_line("{}: {} by {}", a.options.output, a.options.scheme.name(), a.options.method);
  if (!r.record.windows.source.empty()) put_line("  calibrated on    {}", r.record.windows.source);
  put_line("  bits per weight  {:.3f} (whole file {:.3f})", r.bits_per_weight, r.file_bits);
  put_line("  tensors          {}", bytes_text(r.bytes));
  put_line("  largest error    {:.3g} of the layer's output, {}", worst, worst_name);
  put_line("  took             {:.1f} s, at most {} of memory", seconds, bytes_text(peak));
  if (!r.only_nibble.empty()) put_line("  loads in         nibble only: {}", r.only_nibble);
}

Result<int> run(Arguments& a) {
  NB_OK(finish_options(a));
  PeakMemory peak;
  auto start = std::chrono::steady_clock::now();
  QuantizeReport report = NB_TRY(quantize_model(a.options));
  double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  if (a.options.dry_run) {
    if (a.json)
      put_json({{"dry_run", true},
                {"bpw", report.bits_per_weight},
                {"output", a.options.output},
                {"scheme", a.options.scheme.name()},
                {"method", a.options.method},
                {"calibration", report.record.windows.source}});
    else
      put_line("would write {}: {} by {}, {:.3f} bits per weight{}", a.options.output,
               a.options.scheme.name(), a.options.method, report.bits_per_weight,
               report.record.windows.source.empty() ? "" : ", " + report.record.windows.source);
  } else if (a.json) {
    put_json(report_json(a, report, seconds, peak.bytes()));
  } else {
    print_report(a, report, seconds, peak.bytes());
  }
  return 0;
}

CommandBody setup(CLI::App& app) {
  auto a = std::make_shared<Arguments>();
  QuantizeOptions& o = a->options;
  add_model_option(app, o.model);
  app.add_option("-o,--output", o.output, "Folder to write")->required();
  app.add_option(
      "--scheme", a->scheme,
      "w{2..8}[g{N}|t][-asym|-full]: bits, group of N columns (none: per output row, t: per "
      "tensor), grid (default: w4g128-asym)");
  app.add_option("--method", o.method, method_list() + "\n(default: rtn)");
  app.add_option(
      "--calibration", o.calibration.text,
      "UTF-8 text for calibrated methods, - for standard input (default: the model writes its "
      "own text)");
  app.add_option("--windows", o.calibration.windows, "Calibration windows (default: 64)");
  app.add_option("--window-length", o.calibration.length, "Tokens a window (default: 512)");
  app.add_option("--seed", o.calibration.seed, "Where windows begin (default: 0)");
  app.add_option("--head", a->head, "Quantize the output head too, to this scheme, as w8");
  app.add_option("--scale-type", a->scale_type, "Type of scales: f16, bf16 or f32 (default: f16)")
      ->check(CLI::IsMember(kScaleTypes));
  app.add_option("--order", a->order, "GPTQ's order of columns: act, gar or natural (default: act)")
      ->check(CLI::IsMember(kOrders));
  app.add_option("--damping", o.method_options.damping,
                 "GPTQ's damping as a share of the mean diagonal (default: 0.01)")
      ->check(CLI::Range(0., 1.));
  app.add_flag("--force", o.force, "Replace an existing output folder");
  app.add_flag("--resume", o.resume,
               "Go on with an interrupted job (same bytes as an undisturbed one)");
  add_dry_run_option(app, o.dry_run);
  add_threads_option(app);
  add_json_option(app, a->json);
  return [a] { return run(*a); };
}

}  // namespace

extern const Command kCommand_quantize = {"quantize", "make a small model of a float one", setup};

}  // namespace nibble
