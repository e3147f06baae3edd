#include <malloc.h>

#include <memory>

#include "cli/common.h"
#include "cli/export_report.h"

namespace nibble {
namespace {

struct Arguments {
  ExportOptions options;
  MeasuringFlags measuring;
  bool json = false;
};

// Matrices of a few sizes are taken and freed one after another: glibc would give the pages of each
// back, and the system clear new ones for the next.
void keep_freed_memory() {
#if defined(__GLIBC__)
  constexpr int kMost = 1 << 30;
  mallopt(M_MMAP_THRESHOLD, kMost);
  mallopt(M_TRIM_THRESHOLD, kMost);
#endif
}

Result<int> run(Arguments& a) {
  keep_freed_memory();
  ExportOptions& o = a.options;
  NB_OK(set_measuring(a.measuring, o));
  o.model = NB_TRY(model_folder(o.model));
  ExportOutcome outcome = NB_TRY(run_export(o));
  if (a.json)
    put_json(export_json(outcome));
  else
    print_export(outcome);
  return 0;
}

// "Formats:", a line each with its flavours.
std::string format_list() {
  std::string out = "Formats:\n";
  for (const ExportFormat* f : export_formats()) {
    out += fmt::format("  {:<19}{}\n", f->name, f->summary);
    if (!f->flavours.empty()) out += fmt::format("{:21}:{}\n", "", fmt::join(f->flavours, " :"));
  }
  return out +
         "\nWithout a flavour: the one that holds the model's integers exactly; where none does, "
         "weights are requantized, and the report says how far they moved.\nExample: nibble export "
         "OUT --to gptq -o OUT-gptq";
}

CommandBody setup(CLI::App& app) {
  auto a = std::make_shared<Arguments>();
  ExportOptions& o = a->options;
  add_model_option(app, o.model);
  app.add_option("--to", o.target, "FORMAT or FORMAT:FLAVOUR, of the list below")
      ->required()
      ->type_name("FORMAT");
  app.add_option("-o,--output", o.output, "Folder to write")->required();
  app.add_option("--base-model", o.base_model,
                 "For the model card: the Hub's name of the float model, as org/name")
      ->type_name("NAME");
  add_measuring_options(app, a->measuring);
  app.add_option("--against", o.eval_against, "The float model to compare with there")
      ->type_name("MODEL");
  FixedGraphOptions& fixed = o.fixed;
  app.add_option("--context", fixed.context,
                 "tflite: the tokens that its cache holds (default: the model's, at most 2048)")
      ->check(CLI::PositiveNumber);
  app.add_option(
         "--prefill", fixed.prefill,
         "tflite: the tokens that a step of its prefill takes; divides the context (default: the "
         "largest such to 128)")
      ->check(CLI::PositiveNumber);
  RangeOptions& ranges = o.ranges;
  app.add_option("--calibration", ranges.calibration.text,
                 "The text whose activations' ranges are taken: of tflite:int8 and :uint8, of "
                 "int8-qdq and of tensorrt (where the model has none of its own)")
      ->type_name("TEXT");
  app.add_option("--windows", ranges.calibration.windows, "Windows of it (default: 64)")
      ->check(CLI::PositiveNumber);
  app.add_option("--statistics", ranges.statistics,
                 "int8-qdq, tensorrt: the ranges in this folder of nibble calibrate instead")
      ->type_name("FOLDER")
      ->excludes("--calibration");
  add_split_option(app, o.part_bytes);
  app.add_flag("--force", o.force, "Replace an existing output folder");
  add_dry_run_option(app, o.dry_run);
  add_threads_option(app);
  add_json_option(app, a->json);
  app.footer(format_list());
  return [a] { return run(*a); };
}

}  // namespace

extern const Command kCommand_export = {"export", "write a model in another program's format",
                                        setup};

}  // namespace nibble
