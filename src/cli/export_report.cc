#include "cli/export_report.h"

#include <algorithm>
#include <chrono>

#include "base/memory.h"
#include "cli/common.h"
#include "export/model_card.h"

namespace nibble {

std::string target_name(std::string target) {
  std::ranges::replace(target, ':', '-');
  return target;
}

bool needs_ranges(const std::string& target) {
  FixedRanges ranges = fixed_ranges(target);
  return ranges == FixedRanges::kInputs || ranges == FixedRanges::kAll;
}

void add_measuring_options(CLI::App& app, MeasuringFlags& flags) {
  app.add_option("--eval", flags.text,
                 "Held-out text: what was written is measured on it, for the model card")
      ->type_name("TEXT");
  app.add_option("--tokens", flags.tokens, "Use only the first N tokens of that text")
      ->check(CLI::PositiveNumber);
  app.add_flag("--with-consumer", flags.with_consumer,
               "Also measure there what FORMAT's own program makes of it, if PYTHON has that");
  app.add_option("--python", flags.python,
                 "The Python whose packages --with-consumer uses (default: python3)")
      ->type_name("PYTHON");
}

Status set_measuring(const MeasuringFlags& flags, ExportOptions& out) {
  if (flags.text.empty() && (!out.eval_against.empty() || flags.tokens > 0))
    return usage("--against and --tokens are of --eval TEXT");
  if (flags.text.empty() && flags.with_consumer)
    return usage("--with-consumer measures on --eval TEXT");
  out.eval_text = flags.text;
  out.eval_tokens = flags.tokens;
  if (!flags.with_consumer) return {};
  auto folder = find_data("tools/consumers");
  if (!folder) return fail("--with-consumer: tools/consumers is not beside the program");
  out.consumer = {flags.python, *folder + "/consumer.py"};
  return {};
}

Result<ExportOutcome> run_export(const ExportOptions& options) {
  PeakMemory peak;
  auto start = std::chrono::steady_clock::now();
  ExportOutcome out{options, NB_TRY(export_model(options))};
  out.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  out.peak = peak.bytes();
  return out;
}

Json export_json(const ExportOutcome& o) {
  const ExportReport& r = o.report;
  Json j = {{"output", o.options.output},
            {"format", r.format->name},
            {"flavour", r.plan.flavour},
            {"exact", r.plan.exact},
            {"notes", r.plan.notes}};
  if (o.options.dry_run) {
    j["dry_run"] = true;
    return j;
  }
  j["bpw"] = r.round_trip.size.bits_per_weight();
  j["file_bpw"] = r.round_trip.size.file_bits();
  j["bytes"] = r.bytes;
  j["round_trip"] = r.round_trip.json();
  j["loss"] = loss_of(r, o.options);
  j["seconds"] = o.seconds;
  j["peak_rss_anon_bytes"] = o.peak;
  return j;
}

void print_export(const ExportOutcome& o) {
  const ExportReport& r = o.report;
  std::string what = fmt::format("{} {}", r.format->name, r.plan.flavour);
  if (o.options.dry_run)
    put_line("would write {}: {}, {}", o.options.output, what,
             r.plan.exact ? "lossless" : "requantized");
  else
    put_line("{}: {}, for {}", o.options.output, what, r.format->consumer);
  if (!o.options.dry_run) {
    put_line("  read back        {}", r.round_trip.verdict());
    put_line("  bits per weight  {:.3f} (whole file {:.3f})", r.round_trip.size.bits_per_weight(),
             r.round_trip.size.file_bits());
    if (r.measurement || !o.options.eval_text.empty())
      put_line("  loss             {}", loss_text(r));
    if (r.consumer) put_line("  in its consumer  {}", consumer_text(*r.consumer));
    put_line("  files            {}", bytes_text(r.bytes));
    put_line("  took             {:.1f} s, at most {} of memory beside mapped files", o.seconds,
             bytes_text(o.peak));
  }
  for (const std::string& note : r.plan.notes) put_line("  note             {}", note);
}

}  // namespace nibble
