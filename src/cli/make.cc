#include <chrono>
#include <filesystem>

#include "base/file.h"
#include "base/log.h"
#include "cli/child.h"
#include "cli/common.h"
#include "cli/job_estimate.h"
#include "cli/job_run.h"

namespace nibble {
namespace {

struct MakeOptions {
  std::string file, model, output;
  bool dry_run = false, untimed = false, json = false;
};

Result<Job> job_of(const MakeOptions& o) {
  Job job = NB_TRY(read_job(o.file));
  if (!o.model.empty()) job.model = o.model;
  job.model = NB_TRY(model_folder(job.model));
  if (!o.output.empty()) job.output = o.output;
  if (job.output.empty()) return usage("{}: names no output; give -o", o.file);
  return job;
}

std::string verdict_text(const GateVerdict& v) {
  return fmt::format("{}: {:.10g}, allowed {:.10g}: {}", v.gate, v.measured, v.allowed,
                     v.met ? "met" : "missed");
}

// One line of a step's result for people.
std::string summary_of(const JobStep& step, const Json& r) {
  auto number = [&](const Json& j, const char* key) { return j.at(key).get<double>(); };
  if (step.name == "quantize")
    return fmt::format("{:.3f} bits per weight, {}", number(r, "bpw"),
                       bytes_text(r.at("bytes").get<int64_t>()));
  if (step.name == "eval" || step.name == "report")
    return fmt::format("KL {:.5f}, top-1 {:.2f} %, perplexity x {:.4f}", number(r, "kl_mean"),
                       100 * number(r, "top1"), number(r, "perplexity_ratio"));
  if (step.name == "bench")
    return fmt::format("{:.3g} ms a token", number(r.at("tests").at(0), "ms_per_token"));
  return r.at("round_trip").at("verdict").get<std::string>();
}

Result<Json> run_step(const JobStep& step, JobRecord& record) {
  std::vector<std::string> arguments = step.arguments;
  if (NB_TRY(record.begin()) && step.name == "quantize") arguments.push_back("--resume");
  note("{}", command_line(arguments));
  arguments.push_back("--json");
  auto start = std::chrono::steady_clock::now();
  std::string text = NB_TRY(run_nibble(arguments));
  std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
  Json result = NB_TRY(parse_json(text, "the output of nibble " + step.name));
  NB_OK(record.keep(step, seconds.count(), result));
  return result;
}

// What is to be done, what each step took when it last ran, and for those that never ran what
// slices of the model tell.
int show_plan(const Job& job, JobRecord& record, const MakeOptions& o) {
  std::vector<JobStep> steps = steps_of(job);
  std::vector<bool> done;
  bool all_known = true;
  for (const JobStep& step : steps) {
    done.push_back(record.done(step).has_value());
    all_known &= record.seconds_before(step) > 0;
  }
  JobEstimate estimate;
  if (!all_known && !o.untimed) estimate = estimate_job(job);
  Json list = Json::array();
  double to_do = 0;
  for (size_t i = 0; i < steps.size(); ++i) {
    double seconds = record.seconds_before(steps[i]);
    bool estimated = seconds <= 0 && !estimate.seconds.empty();
    if (estimated) seconds = estimate.seconds[i];
    if (!done[i]) to_do += seconds;
    bool known = seconds > 0;
    list.push_back({{"step", steps[i].name},
                    {"done", static_cast<bool>(done[i])},
                    {"seconds", known ? Json(seconds) : Json(nullptr)},
                    {"estimated", estimated},
                    {"command", steps[i].arguments}});
    std::string time = known ? fmt::format("{}{:.1f} s", estimated ? "~" : "", seconds) : "unknown";
    if (!o.json)
      put_line("{:<8} {:>9}  {}", done[i] ? "done" : "to do", time,
               command_line(steps[i].arguments));
  }
  if (o.json) put_json(list);
  if (o.json || all_known) return 0;
  if (!estimate.seconds.empty())
    put_line("~: estimated, {}; to do: about {:.0f} s in all", estimate.basis, to_do);
  else if (!estimate.reason.empty())
    put_line("unknown, and not estimated: {}", estimate.reason);
  return 0;
}

// A folder for what the steps make, and the recipe that the first one reads.
Status prepare(const Job& job) {
  std::error_code ec;
  std::filesystem::create_directories(job.output, ec);
  if (ec) return fail("{}: cannot be made: {}", job.output, ec.message());
  return write_file(job.output + "/recipe.yaml", job.recipe);
}

Result<int> make(const MakeOptions& o) {
  Job job = NB_TRY(job_of(o));
  JobRecord record = NB_TRY(JobRecord::open(job));
  if (o.dry_run) return show_plan(job, record, o);
  NB_OK(prepare(job));
  std::vector<JobStep> steps = steps_of(job);
  Json done = Json::array();
  std::string missed;
  for (const JobStep& step : steps) {
    std::optional<Json> before = record.done(step);
    Json result = before ? *before : NB_TRY(run_step(step, record));
    Json gates = Json::array();
    if (!o.json)
      put_line("{:<24} {}{}", step.name, summary_of(step, result), before ? " (before)" : "");
    for (const GateVerdict& v : NB_TRY(verdicts_of(job, step, result))) {
      gates.push_back(
          {{"gate", v.gate}, {"allowed", v.allowed}, {"measured", v.measured}, {"met", v.met}});
      if (!o.json) put_line("{:<24} {}", "", verdict_text(v));
      if (!v.met) missed += (missed.empty() ? "" : "; ") + verdict_text(v);
    }
    done.push_back({{"step", step.name}, {"result", result}, {"gates", gates}});
    if (!missed.empty()) break;
  }
  if (o.json) put_json({{"output", job.output}, {"passed", missed.empty()}, {"steps", done}});
  if (!missed.empty()) return fail("{}: gate {}", o.file, missed);
  return 0;
}

CommandBody setup(CLI::App& app) {
  auto o = std::make_shared<MakeOptions>();
  app.add_option("JOB", o->file, "YAML file of the job; see docs/JOBS.md")
      ->required()
      ->type_name("");
  app.add_option("--model", o->model, "Folder of the float model, in place of the job's");
  app.add_option("-o,--output", o->output, "Folder for all that is made, in place of the job's");
  add_dry_run_option(app, o->dry_run);
  app.add_flag("--untimed", o->untimed,
               "With --dry-run: run no slices of the model to estimate steps that never ran")
      ->needs("--dry-run");
  add_json_option(app, o->json);
  app.footer(
      "quantize, eval, bench and export one after another, as commands of their own. A missed "
      "gate\n"
      "ends the job with 1. Called again, it goes on behind what is done already.");
  return [o] { return make(*o); };
}

}  // namespace

const Command kCommand_make = {"make", "a whole job from one file: quantize, measure, gate, export",
                               setup};

}  // namespace nibble
