#include <chrono>
#include <memory>

#include "base/log.h"
#include "base/memory.h"
#include "cli/common.h"
#include "cli/export_report.h"
#include "cli/mixed_flags.h"
#include "export/gguf_artifact.h"
#include "export/model_card.h"
#include "quant/job.h"

namespace nibble {
namespace {

struct Arguments {
  QuantizeOptions options;
  RecipeFlags recipe;
  MixedFlags mixed;
  std::vector<std::string> exports;  // FORMAT or FORMAT:FLAVOUR
  MeasuringFlags measuring;          // of the exports and of a GGUF artifact
  ExportOptions measured;            // the same as options of an export
  ExportReport written;              // and what became of it; without a format: it is none
  GgufWriter gguf;
  std::optional<MixedResult> chosen;  // where a target chose the recipe
  bool json = false;
};

// OUT-gptq-v1 of gptq:v1.
std::string export_folder(const std::string& output, const std::string& target) {
  return output + "-" + target_name(target);
}

Status check_free(const Arguments& a, const std::string& output) {
  const QuantizeOptions& o = a.options;
  return check_output(output, o.force,
                      {o.model, o.lora, o.calibration, o.statistics, o.imatrix, a.measuring.text});
}

// Where an export that needs ranges takes them from: the same text, which from standard input
// cannot be read again, or the same statistics where those have what it fixes.
RangeOptions ranges_for(const Arguments& a, const std::string& target) {
  RangeOptions out;
  if (!needs_ranges(target)) return out;
  if (a.options.calibration != "-") out.calibration.text = a.options.calibration;
  if (fixed_ranges(target) == FixedRanges::kInputs) out.statistics = a.options.statistics;
  return out;
}

// Before the hours of quantizing.
Status check_export(const Arguments& a, const std::string& target) {
  NB_OK(check_export_target(target));
  NB_OK(check_free(a, export_folder(a.options.output, target)));
  // Of a mixture that is still to be chosen the recipe is not known.
  bool own = fixed_ranges(target) == FixedRanges::kInputs &&
             (a.mixed.wanted() || a.options.recipe.settings().ranges);
  if (needs_ranges(target) && !own && !ranges_for(a, target).given())
    return usage(
        "--export {} needs ranges of activations: give a file as --calibration, or run nibble "
        "export --calibration on what is quantized",
        target);
  return {};
}

Status finish_measuring(Arguments& a) {
  a.measured.output = a.options.output;
  NB_OK(set_measuring(a.measuring, a.measured));
  if (a.measuring.text.empty()) return {};
  bool gguf = a.mixed.wanted() ? targets_gguf(a.recipe, a.options) : a.options.recipe.blocks();
  if (a.exports.empty() && !gguf)
    return usage("--eval measures a GGUF file, and what --export writes");
  if (!a.options.lora.empty())
    return usage(
        "--eval compares with MODEL, and --lora changes that; nibble eval has --against-lora");
  if (!path_exists(a.measuring.text))
    return fail("{}: does not exist; --eval wants a text", a.measuring.text);
  a.measured.eval_against = a.options.model;
  return {};
}

Status finish_options(Arguments& a) {
  QuantizeOptions& o = a.options;
  while (o.output.size() > 1 && o.output.ends_with('/')) o.output.pop_back();
  if (!a.mixed.wanted()) o.recipe = NB_TRY(Recipe::build(NB_TRY(entries_of(a.recipe))));
  o.model = NB_TRY(model_folder(o.model));
  NB_OK(check_free(a, o.output));
  NB_OK(finish_measuring(a));
  a.gguf = gguf_writer(a.measured, a.written);
  o.gguf = &a.gguf;
  for (const std::string& target : a.exports) NB_OK(check_export(a, target));
  return {};
}

// The exports of what was just written, beside it.
Result<std::vector<ExportOutcome>> write_exports(const Arguments& a) {
  std::vector<ExportOutcome> out;
  for (const std::string& target : a.exports) {
    ExportOptions o = a.measured;
    o.model = a.options.output;
    o.output = export_folder(a.options.output, target);
    o.target = target;
    o.force = a.options.force;
    o.ranges = ranges_for(a, target);
    out.push_back(NB_TRY(run_export(o)));
  }
  return out;
}

Json distillation_json(const std::optional<DistillationReport>& r) {
  if (!r) return nullptr;
  return {{"steps", r->steps},
          {"text_windows", r->learned_windows},
          {"own_windows", r->own_windows},
          {"held_back_windows", r->held_back},
          {"kl_before", r->before},
          {"kl_after", r->after},
          {"kept", r->kept}};
}

Json memory_json(const MemoryPlan& m) {
  return {{"bytes", m.bytes}, {"least", m.least}, {"windows_on_disk", m.windows_on_disk}};
}

Json report_json(const Arguments& a, const QuantizeReport& r, double seconds, int64_t peak) {
  Json tensors = Json::array();
  for (const ModuleReport& m : r.record.modules)
    tensors.push_back({{"module", m.module}, {"scheme", m.scheme}, {"error", m.error}});
  Json j = {{"output", a.options.output},
            {"scheme", a.options.recipe.scheme_summary()},
            {"method", a.options.recipe.method_summary()},
            {"recipe", a.options.recipe.json()},
            {"bpw", r.bits_per_weight},
            {"file_bpw", r.file_bits},
            {"bytes", r.bytes},
            {"sparsity", r.sparsity()},
            {"calibration", r.record.windows.source},
            {"blocks_resumed", r.blocks_resumed},
            {"only_nibble_because", r.only_nibble},
            {"distillation", distillation_json(r.distillation)},
            {"notes", r.record.notes},
            {"seconds", seconds},
            {"peak_rss_anon_bytes", peak},
            {"vm_hwm_bytes", resident_memory().most},
            {"memory_plan", memory_json(r.memory)},
            {"tensors", tensors}};
  if (r.sparse_linears > 0)
    j["dense_rival"] = {{"linears", r.sparse_linears}, {"dense_better", r.dense_wins}};
  if (a.chosen) j["mixed"] = mixed_json(*a.chosen);
  if (a.written.format) {
    j["round_trip"] = a.written.round_trip.json();
    j["loss"] = loss_of(a.written, a.measured);
  }
  return j;
}

Json plan_json(const Arguments& a, const QuantizeReport& report) {
  Json j = {{"dry_run", true},
            {"bpw", report.bits_per_weight},
            {"output", a.options.output},
            {"scheme", a.options.recipe.scheme_summary()},
            {"method", a.options.recipe.method_summary()},
            {"recipe", a.options.recipe.json()},
            {"memory_plan", memory_json(report.memory)},
            {"calibration", report.record.windows.source}};
  if (a.chosen) j["mixed"] = mixed_json(*a.chosen);
  return j;
}

void print_report(const Arguments& a, const QuantizeReport& r, double seconds, int64_t peak) {
  double worst = 0;
  std::string worst_name;
  for (const ModuleReport& m : r.record.modules)
    if (m.error > worst) {
      worst = m.error;
      worst_name = m.module;
    }
  put_line("{}: {} by {}", a.options.output, a.options.recipe.scheme_summary(),
           a.options.recipe.method_summary());
  if (!r.record.windows.source.empty()) put_line("  calibrated on    {}", r.record.windows.source);
  put_line("  bits per weight  {:.3f} (whole file {:.3f})", r.bits_per_weight, r.file_bits);
  put_line("  tensors          {}", bytes_text(r.bytes));
  if (r.sparse_linears > 0)
    put_line(
        "  sparsity         {:.1f} %; dense codes of as many bytes as a bitmap and the kept "
        "codes serve {} of {} linears better",
        100 * r.sparsity(), r.dense_wins, r.sparse_linears);
  put_line("  largest error    {:.3g} of the layer's output, {}", worst, worst_name);
  if (a.written.format) put_line("  read back        {}", a.written.round_trip.verdict());
  if (a.written.measurement) put_line("  loss             {}", loss_text(a.written));
  if (a.written.consumer) put_line("  in its consumer  {}", consumer_text(*a.written.consumer));
  put_line("  took             {:.1f} s", seconds);
  put_line("  memory           at most {} anonymous (planned: {}), {} with mapped files{}",
           bytes_text(peak), bytes_text(r.memory.bytes), bytes_text(resident_memory().most),
           r.memory.windows_on_disk ? "; calibration windows waited on disk" : "");
  if (!r.only_nibble.empty()) put_line("  loads in         nibble only: {}", r.only_nibble);
}

Result<int> run(Arguments& a) {
  NB_OK(finish_options(a));
  if (a.options.max_memory > 0) give_back_freed_memory();  // costs time: pages come anew
  PeakMemory peak;
  auto start = std::chrono::steady_clock::now();
  if (a.mixed.wanted()) a.chosen = NB_TRY(choose_bits(a.mixed, a.recipe, a.options));
  QuantizeReport report = NB_TRY(quantize_model(a.options));
  double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  std::vector<ExportOutcome> exports;
  if (!a.options.dry_run) exports = NB_TRY(write_exports(a));
  if (a.chosen && !a.json) print_mixed(*a.chosen);
  if (a.options.dry_run) {
    if (a.json)
      put_json(plan_json(a, report));
    else
      put_line("would write {}: {} by {}, {:.3f} bits per weight{}", a.options.output,
               a.options.recipe.scheme_summary(), a.options.recipe.method_summary(),
               report.bits_per_weight,
               report.record.windows.source.empty() ? "" : ", " + report.record.windows.source);
  } else if (a.json) {
    Json j = report_json(a, report, seconds, peak.bytes());
    for (const ExportOutcome& e : exports) j["exports"].push_back(export_json(e));
    put_json(j);
  } else {
    print_report(a, report, seconds, peak.bytes());
    for (const ExportOutcome& e : exports) print_export(e);
  }
  return 0;
}

CommandBody setup(CLI::App& app) {
  auto a = std::make_shared<Arguments>();
  QuantizeOptions& o = a->options;
  add_model_option(app, o.model);
  add_lora_option(app, o.lora);
  app.add_option("-o,--output", o.output,
                 "Folder to write, or for schemes of GGUF a file, as model.gguf")
      ->required();
  add_recipe_options(app, a->recipe);
  add_mixed_options(app, a->mixed);
  app.add_option("--export", a->exports,
                 "Then write this format of nibble export too, to OUT-FORMAT; may be repeated")
      ->type_name("FORMAT")
      ->allow_extra_args(false);
  add_measuring_options(app, a->measuring);
  app.add_option(
      "--calibration", o.calibration,
      "UTF-8 text for calibrated methods, - for standard input (default: the model writes its "
      "own text)");
  app.add_option("--statistics", o.statistics,
                 "Folder of nibble calibrate, used in place of calibration windows")
      ->excludes("--calibration");
  app.add_option(
         "--imatrix", o.imatrix,
         "Importance matrix of llama.cpp (GGUF, or the older .dat) in place of calibration, "
         "for rtn-imatrix")
      ->type_name("FILE")
      ->excludes("--calibration")
      ->excludes("--statistics");
  app.add_option(
         "--max-memory", o.max_memory,
         "Bound of anonymous memory, as 4GB: calibration windows wait on disk and learning end to "
         "end is left out where they would not fit (default: half of the machine's)")
      ->transform(CLI::AsSizeValue(true));
  add_split_option(app, o.part_bytes);
  app.add_flag("--requantize", o.requantize,
               "Take a model that is quantized already, by its dequantized values: losses add up");
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
