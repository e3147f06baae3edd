#include "report/report.h"

#include "base/file.h"
#include "base/log.h"
#include "cli/common.h"
#include "cli/machine.h"

namespace nibble {
namespace {

struct Flags {
  ReportOptions report;
  std::string output, markdown;
  bool json = false;
};

Json figures(const Report& r) {
  Json beside = Json::array();
  for (const ReportVersion& v : r.versions)
    beside.push_back({{"model", v.name},
                      {"bytes", v.bytes},
                      {"bpw", v.bits},
                      {"kl_mean", v.kl},
                      {"top1", v.top1}});
  return {{"model", r.name},
          {"beside", beside},
          {"bpw", r.loss.size.bits_per_weight()},
          {"bytes", r.loss.size.file_bytes},
          {"kl_mean", r.loss.scores.kl_mean},
          {"top1", r.loss.scores.top1},
          {"perplexity_ratio", r.loss.scores.ratio},
          {"tokens", r.loss.tokens},
          {"tokens_per_second", r.tokens_per_second},
          {"speed_arithmetic", r.writing_arithmetic}};
}

Result<int> write_report(Flags& f) {
  f.report.model = NB_TRY(model_folder(f.report.model));
  for (std::string& other : f.report.beside) other = NB_TRY(model_folder(other));
  std::vector<DeviceProfile> devices;
  if (auto folder = find_data("devices")) devices = NB_TRY(read_devices(*folder));
  Report r = NB_TRY(gather_report(f.report, devices, cpu_name()));
  r.arithmetic = NB_TRY(describe_arithmetic(f.report.activations, r.loss.linears));
  r.writing_arithmetic = NB_TRY(describe_arithmetic(f.report.writing, r.writing));
  NB_OK(write_file(f.output, report_html(r)));
  if (!f.markdown.empty()) NB_OK(write_file(f.markdown, report_markdown(r)));
  if (f.json)
    put_json(figures(r));
  else
    put_line("{}: KL {:.5f}, top-1 {:.2f} %, perplexity x {:.4f}", f.output, r.loss.scores.kl_mean,
             100 * r.loss.scores.top1, r.loss.scores.ratio);
  return 0;
}

CommandBody setup(CLI::App& app) {
  auto f = std::make_shared<Flags>();
  add_model_option(app, f->report.model);
  app.add_option("--against", f->report.against, "The float model to compare with")->required();
  app.add_option("--text", f->report.text, "UTF-8 text that calibration never saw")->required();
  app.add_option("--tokens", f->report.windows.tokens, "Use only the first N tokens of the text")
      ->check(CLI::PositiveNumber);
  app.add_option("--beside", f->report.beside,
                 "Another quantized version, measured on the same text for a picture of size and "
                 "loss; may be given several times")
      ->type_name("MODEL")
      ->allow_extra_args(false);
  app.add_option(
         "-p,--prompt", f->report.prompts,
         "A text that both models continue; may be given several times (default: beginnings "
         "from the held-out text)")
      ->allow_extra_args(false);
  app.add_option("-o,--output", f->output, "The page, FILE.html")->required();
  app.add_option("--markdown", f->markdown, "The same as Markdown, too");
  add_activations_option(app, f->report.activations);
  add_threads_option(app);
  add_json_option(app, f->json);
  app.footer(
      "One file: no scripts, nothing from elsewhere. Without --activations the samples and their\n"
      "speed are by int8, as nibble run writes, and the scores by float, as nibble eval measures.");
  return [f, given = app.get_option("--activations")] {
    if (given->count() > 0) f->report.writing = f->report.activations;
    return write_report(*f);
  };
}

}  // namespace

const Command kCommand_report = {"report", "a page about a quantized model: loss, errors, samples",
                                 setup};

}  // namespace nibble
