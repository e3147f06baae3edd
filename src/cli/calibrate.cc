#include <memory>

#include "base/log.h"
#include "base/memory.h"
#include "cli/common.h"
#include "cli/sizes.h"
#include "quant/imatrix_statistics.h"

namespace nibble {
namespace {

struct Arguments {
  std::string model, lora, output, imatrix;
  CalibrationOptions calibration;
  bool force = false, json = false;
};

Result<int> run(Arguments& a) {
  a.model = NB_TRY(model_folder(a.model));
  for (const std::string& output : {a.output, a.imatrix})
    if (!output.empty())
      NB_OK(check_output(output, a.force, {a.model, a.lora, a.calibration.text}));
  Weights weights = NB_TRY(Weights::open(a.model, a.lora));
  if (!quantized_linears(weights).empty())
    return fail("{}: is quantized; statistics are of the float model", a.model);
  CalibrationSet windows = NB_TRY(calibration_windows(a.model, weights, a.calibration));
  PeakMemory peak;
  StatisticsReport report = NB_TRY(write_statistics(weights, windows, a.output, a.force));
  if (!a.imatrix.empty()) {
    auto store = NB_TRY(StatisticsStore::open(a.output, NB_TRY(weights.digest())));
    NB_OK(write_imatrix(a.imatrix, NB_TRY(imatrix_of(store, weights.config(), windows))));
  }
  if (a.json)
    put_json({{"output", a.output},
              {"imatrix", a.imatrix},
              {"calibration", windows.source},
              {"tokens", windows.tokens()},
              {"blocks", report.blocks},
              {"bytes", report.bytes},
              {"peak_rss_anon_bytes", peak.bytes()}});
  else
    put_line("{}: statistics of {} blocks over {}, {}", a.output, report.blocks, windows.source,
             bytes_text(report.bytes));
  return 0;
}

CommandBody setup(CLI::App& app) {
  auto a = std::make_shared<Arguments>();
  add_model_option(app, a->model);
  add_lora_option(app, a->lora);
  app.add_option("-o,--output", a->output, "Folder to write")->required();
  app.add_option("--imatrix", a->imatrix,
                 "Write an importance matrix for llama-quantize too; .dat: in its older form")
      ->type_name("FILE");
  app.add_option("--calibration", a->calibration.text,
                 "UTF-8 text, - for standard input (default: the model writes its own text)");
  app.add_option("--windows", a->calibration.windows, "Calibration windows (default: 64)");
  app.add_option("--window-length", a->calibration.length, "Tokens a window (default: 512)");
  app.add_option("--seed", a->calibration.seed, "Where windows begin (default: 0)");
  app.add_flag("--force", a->force, "Replace an existing output folder");
  add_threads_option(app);
  add_json_option(app, a->json);
  return [a] { return run(*a); };
}

}  // namespace

extern const Command kCommand_calibrate = {
    "calibrate", "gather a float model's statistics once, for many quantize --statistics", setup};

}  // namespace nibble
