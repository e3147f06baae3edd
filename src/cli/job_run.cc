#include "cli/job_run.h"

#include <xxhash.h>

#include <algorithm>
#include <filesystem>

#include "base/file.h"
#include "cli/export_report.h"

namespace nibble {
namespace {

namespace fs = std::filesystem;

std::string digest(const std::string& text) {
  return fmt::format("{:016x}", XXH3_64bits(text.data(), text.size()));
}

// Name, size and time of every file: reading a large model again to see that it is the same would
// cost as much as some steps.
std::string state_of(const std::string& path) {
  std::error_code ec;
  std::vector<std::string> files;
  auto add = [&](const fs::path& p) {
    auto time = fs::last_write_time(p, ec).time_since_epoch().count();
    files.push_back(fmt::format("{} {} {}\n", p.string(), fs::file_size(p, ec), time));
  };
  if (!fs::is_directory(path, ec)) {
    if (!path.empty()) add(path);
  } else {
    for (const auto& entry : fs::directory_iterator(path, ec))
      if (entry.is_regular_file(ec)) add(entry.path());
  }
  std::sort(files.begin(), files.end());
  std::string all;
  for (const std::string& f : files) all += f;
  return all;
}

void add_text(const Job& job, std::vector<std::string>& arguments) {
  arguments.insert(arguments.end(), {"--text", job.text});
  if (job.tokens > 0) arguments.insert(arguments.end(), {"--tokens", std::to_string(job.tokens)});
}

void add_activations(const Job& job, std::vector<std::string>& arguments) {
  if (!job.activations.empty())
    arguments.insert(arguments.end(), {"--activations", job.activations});
}

JobStep export_step(const Job& job, const std::string& made, const std::string& target) {
  std::string out = job.output + "/" + target_name(target);
  JobStep step{"export " + target, {"export", made, "--to", target, "-o", out, "--force"}, out};
  if (needs_ranges(target) && !job.calibration.empty())
    step.arguments.insert(step.arguments.end(), {"--calibration", job.calibration});
  return step;
}

}  // namespace

std::vector<JobStep> steps_of(const Job& job) {
  std::string made = job.output + "/model", recipe = job.output + "/recipe.yaml";
  std::vector<JobStep> steps;
  JobStep quantize{"quantize", {"quantize", job.model, "-o", made, "--recipe", recipe}, made};
  if (!job.calibration.empty())
    quantize.arguments.insert(quantize.arguments.end(), {"--calibration", job.calibration});
  quantize.arguments.push_back("--force");
  steps.push_back(quantize);
  if (!job.text.empty()) {
    JobStep eval{"eval", {"eval", made, "--against", job.model}, ""};
    add_text(job, eval.arguments);
    add_activations(job, eval.arguments);
    steps.push_back(eval);
  }
  if (job.gates.max_ms_per_token) {
    JobStep bench{"bench", {"bench", made, "-p", "0", "-n", "64", "--runs", "9"}, ""};
    add_activations(job, bench.arguments);
    steps.push_back(bench);
  }
  for (const std::string& target : job.exports) steps.push_back(export_step(job, made, target));
  if (job.report) {
    std::string page = job.output + "/report.html";
    JobStep report{"report", {"report", made, "--against", job.model, "-o", page}, page};
    report.arguments.insert(report.arguments.end(), {"--markdown", job.output + "/report.md"});
    add_text(job, report.arguments);
    add_activations(job, report.arguments);
    steps.push_back(report);
  }
  return steps;
}

Result<std::vector<GateVerdict>> verdicts_of(const Job& job, const JobStep& step,
                                             const Json& result) {
  const JobGates& g = job.gates;
  std::vector<GateVerdict> out;
  auto at_most = [&](const char* gate, std::optional<double> allowed, double measured) {
    if (allowed) out.push_back({gate, *allowed, measured, measured <= *allowed});
  };
  auto number = [&](const Json& j, const char* key) {
    return get_number(j, key, std::nullopt, "the result of " + step.name);
  };
  if (step.name == "quantize") {
    at_most("max_bytes", g.max_bytes, NB_TRY(number(result, "bytes")));
  } else if (step.name == "eval") {
    at_most("max_increase", g.max_increase, NB_TRY(number(result, "perplexity_ratio")) - 1);
    at_most("max_kl", g.max_kl, NB_TRY(number(result, "kl_mean")));
    double top1 = NB_TRY(number(result, "top1"));
    if (g.min_top1) out.push_back({"min_top1", *g.min_top1, top1, top1 >= *g.min_top1});
  } else if (step.name == "bench") {
    double ms = NB_TRY(number(result.at("tests").at(0), "ms_per_token"));
    at_most("max_ms_per_token", g.max_ms_per_token, ms);
  }
  return out;
}

JobRecord::JobRecord(const Job& job)
    : path_(job.output + "/job.json"),
      key_(digest(job.recipe + state_of(job.model) + state_of(job.calibration) +
                  state_of(job.text))) {}

Result<JobRecord> JobRecord::open(const Job& job) {
  JobRecord out(job);
  if (!path_exists(out.path_)) return out;
  Json record = NB_TRY(read_json(out.path_));
  if (!record.is_object() || !record.contains("steps") || !record["steps"].is_object())
    return fail("{}: is not the record of a job; delete it to begin anew", out.path_);
  out.steps_ = record["steps"];
  out.begun_ = NB_TRY(get_string(record, "begun", "", out.path_));
  return out;
}

std::string JobRecord::key_after(const JobStep& step) const {
  std::string all = key_;
  for (const std::string& a : step.arguments) all += a + '\0';
  return digest(all);
}

std::optional<Json> JobRecord::done(const JobStep& step) {
  step_key_ = key_after(step);
  // What is made goes into what comes after it; measurements do not.
  if (step.name == "quantize") key_ = step_key_;
  auto kept = steps_.find(step.name);
  if (kept == steps_.end() || !kept->is_object() || !kept->contains("result")) return std::nullopt;
  bool same = get_string(*kept, "key", "", path_).value_or("") == step_key_;
  bool stands = step.makes.empty() || path_exists(step.makes);
  return same && stands ? std::optional<Json>((*kept)["result"]) : std::nullopt;
}

double JobRecord::seconds_before(const JobStep& step) const {
  auto kept = steps_.find(step.name);
  if (kept == steps_.end() || !kept->is_object()) return 0;
  return get_number(*kept, "seconds", 0, path_).value_or(0);
}

Status JobRecord::write() const {
  return write_file(path_, Json({{"begun", begun_}, {"steps", steps_}}).dump(1) + "\n");
}

Result<bool> JobRecord::begin() {
  if (begun_ == step_key_) return true;
  begun_ = step_key_;
  NB_OK(write());
  return false;
}

Status JobRecord::keep(const JobStep& step, double seconds, const Json& result) {
  steps_[step.name] = {
      {"key", step_key_}, {"seconds", seconds}, {"command", step.arguments}, {"result", result}};
  return write();
}

}  // namespace nibble
