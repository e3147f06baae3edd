#include "export/export.h"

#include <chrono>
#include <memory>

#include "base/memory.h"
#include "cli/common.h"

namespace nibble {
namespace {

struct Arguments {
  ExportOptions options;
  bool json = false;
};

Json report_json(const Arguments& a, const ExportReport& r, double seconds, int64_t peak) {
  Json j = {{"output", a.options.output},
            {"format", r.format->name},
            {"flavour", r.plan.flavour},
            {"exact", r.plan.exact},
            {"notes", r.plan.notes}};
  if (a.options.dry_run) {
    j["dry_run"] = true;
    return j;
  }
  j["bpw"] = r.round_trip.size.bits_per_weight();
  j["file_bpw"] = r.round_trip.size.file_bits();
  j["bytes"] = r.bytes;
  j["round_trip"] = r.round_trip.json();
  j["seconds"] = seconds;
  j["peak_rss_anon_bytes"] = peak;
  return j;
}

void print_report(const Arguments& a, const ExportReport& r, double seconds, int64_t peak) {
  std::string what = fmt::format("{} {}", r.format->name, r.plan.flavour);
  if (a.options.dry_run)
    put_line("would write {}: {}, {}", a.options.output, what,
             r.plan.exact ? "lossless" : "requantized");
  else
    put_line("{}: {}, for {}", a.options.output, what, r.format->consumer);
  if (!a.options.dry_run) {
    put_line("  read back        {}", r.round_trip.verdict());
    put_line("  bits per weight  {:.3f} (whole file {:.3f})", r.round_trip.size.bits_per_weight(),
             r.round_trip.size.file_bits());
    put_line("  files            {}", bytes_text(r.bytes));
    put_line("  took             {:.1f} s, at most {} of memory beside mapped files", seconds,
             bytes_text(peak));
  }
  for (const std::string& note : r.plan.notes) put_line("  note             {}", note);
}

Result<int> run(Arguments& a) {
  a.options.model = NB_TRY(model_folder(a.options.model));
  PeakMemory peak;
  auto start = std::chrono::steady_clock::now();
  ExportReport report = NB_TRY(export_model(a.options));
  double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  if (a.json)
    put_json(report_json(a, report, seconds, peak.bytes()));
  else
    print_report(a, report, seconds, peak.bytes());
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
