#include "cli/job_estimate.h"

#include <algorithm>
#include <chrono>
#include <filesystem>

#include "base/file.h"
#include "base/log.h"
#include "cli/child.h"
#include "cli/sizes.h"
#include "cli/work_folder.h"
#include "eval/protocol.h"
#include "quant/distillation.h"
#include "quant/model_slice.h"
#include "quant/recipe.h"
#include "text/tokenizer.h"

namespace nibble {
namespace {

// Of the whole job's windows and tokens: few enough to be quick, many enough to be seen in the
// time.
constexpr int64_t kFewShare = 16, kManyShare = 4;
// Steps of learning end to end, and its least windows: it holds some back, and where it has many
// steps it writes more itself, 64 at once.
constexpr int64_t kFewSteps = 4, kManySteps = 36, kLearningWindows = 8;

struct Counts {
  int64_t few, many;
};
Counts counts_of(int64_t all, int64_t least = 1) {
  int64_t many = std::min(all, std::max(2 * least, all / kManyShare));
  return {std::min(many, std::max(least, all / kFewShare)), many};
}

bool reads_text(const JobStep& step) { return step.name == "eval" || step.name == "report"; }

class Estimation {
 public:
  static Result<Estimation> create(const Job& job);
  Result<JobEstimate> run();

 private:
  Estimation(const Job& job, WorkFolder work) : job_(job), work_(std::move(work)) {}
  // Runs the step and says how long that took.
  Result<double> time_of(const JobStep& step);
  // The job on the first blocks.
  Job slice_job(int64_t blocks, int64_t windows, int64_t tokens, int64_t steps) const;
  // Whether quantizing does something with its windows outside the blocks.
  bool four_corners() const { return job_.calibration.empty() || learning_ > 0; }
  Result<double> quantize(int64_t blocks, int64_t windows, int64_t steps);
  Result<double> quantizing();
  Result<std::vector<double>> others();

  const Job& job_;
  WorkFolder work_;
  std::vector<RecipeEntry> recipe_;  // without rules for blocks by number, and without windows
  int64_t blocks_ = 0, windows_ = 0, tokens_ = 0, window_length_ = 0;
  int64_t learning_ = 0;  // steps end to end
  std::unique_ptr<Progress> progress_;
  int64_t timed_ = 0;
};

// Tokens of the evaluation's whole windows.
Result<int64_t> evaluated_tokens(const Job& job, int64_t window_length) {
  auto tokenizer = NB_TRY(load_tokenizer(job.model));
  WindowOptions options{.context = window_length, .tokens = job.tokens};
  auto windows = NB_TRY(make_windows(*tokenizer, tokenizer->bos.value_or(0), job.text, options));
  return static_cast<int64_t>(windows.size()) * (window_length - 1);
}

Result<Estimation> Estimation::create(const Job& job) {
  Estimation e(job, NB_TRY(WorkFolder::create()));
  DecoderConfig config = NB_TRY(read_model_config(job.model));
  e.blocks_ = config.layers;
  if (e.blocks_ < 2) return fail("a model of one block has no slice");
  NB_OK(write_file(e.work_ / "asked.yaml", job.recipe));
  std::vector<RecipeEntry> entries = NB_TRY(read_recipe(e.work_ / "asked.yaml"));
  Recipe recipe = NB_TRY(Recipe::build(entries));
  Plan plan = NB_TRY(recipe.resolve(config));
  for (const RecipeEntry& entry : entries)
    if (!entry.key.starts_with("layers ") && entry.key != "windows" && entry.key != "distill-steps")
      e.recipe_.push_back(entry);
  e.windows_ = recipe.settings().calibration.windows;
  if (plan.distillation().what != DistillationPlan::What::kNothing) {
    e.learning_ = recipe.settings().distill_steps;
    if (e.learning_ == 0) e.learning_ = default_steps(e.windows_);
  }
  e.window_length_ = std::min<int64_t>(WindowOptions().context, config.context);
  if (!job.text.empty()) e.tokens_ = NB_TRY(evaluated_tokens(job, e.window_length_));
  for (int64_t blocks : {1, 2})
    NB_OK(write_model_slice(job.model, blocks, e.work_ / fmt::format("slice-{}", blocks)));
  return e;
}

Result<double> Estimation::time_of(const JobStep& step) {
  std::vector<std::string> arguments = step.arguments;
  arguments.push_back("--json");
  std::string messages = work_ / "messages.txt";
  auto start = std::chrono::steady_clock::now();
  Result<std::string> done = run_nibble(arguments, messages);
  std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
  if (!done) {
    std::string said = read_file(messages).value_or("");
    while (said.ends_with('\n')) said.pop_back();
    return fail("{} of a slice: {}", step.name, said.substr(said.rfind('\n') + 1));
  }
  progress_->step(++timed_, step.name);
  return seconds.count();
}

Job Estimation::slice_job(int64_t blocks, int64_t windows, int64_t tokens, int64_t steps) const {
  Job job = job_;
  job.model = work_ / fmt::format("slice-{}", blocks);
  job.output = work_ / fmt::format("made-{}", blocks);
  job.tokens = tokens;
  job.recipe = fmt::format("windows: {}\n", windows);
  if (learning_ > 0) job.recipe += fmt::format("distill-steps: {}\n", steps);
  for (const RecipeEntry& entry : recipe_)
    job.recipe += Json(entry.key).dump() + ": " + Json(entry.value).dump() + "\n";
  return job;
}

// Leaves the model that it makes for the steps behind.
Result<double> Estimation::quantize(int64_t blocks, int64_t windows, int64_t steps) {
  Job job = slice_job(blocks, windows, 0, steps);
  std::error_code ec;
  std::filesystem::create_directories(job.output, ec);
  NB_OK(write_file(job.output + "/recipe.yaml", job.recipe));
  return time_of(steps_of(job)[0]);
}

Result<double> Estimation::quantizing() {
  auto [few, many] = counts_of(windows_, learning_ > 0 ? kLearningWindows : 1);
  SliceTimes t{.few_count = few, .many_count = many};
  t.few[0] = NB_TRY(quantize(1, few, kFewSteps));
  t.many[0] = NB_TRY(quantize(1, many, kFewSteps));
  // Windows of a text cost what the blocks do with them; those that the model writes pass the head
  // too, and so does learning.
  if (four_corners()) t.few[1] = NB_TRY(quantize(2, few, kFewSteps));
  t.many[1] = NB_TRY(quantize(2, many, kFewSteps));
  if (!four_corners()) t.few[1] = t.many[1] - 2 * (t.many[0] - t.few[0]);
  double seconds = t.at(blocks_, windows_);
  if (learning_ == 0) return seconds;
  SliceTimes steps{.few_count = kFewSteps, .many_count = kManySteps};
  // On few windows, so that more are written for more steps, as in the whole job.
  for (int64_t b : {0, 1}) {
    steps.few[b] = t.few[b];
    steps.many[b] = NB_TRY(quantize(b + 1, few, kManySteps));
  }
  return seconds + steps.at(blocks_, learning_) - steps.at(blocks_, kFewSteps);
}

// Of the steps behind the first.
Result<std::vector<double>> Estimation::others() {
  // In whole windows, as the evaluation takes them.
  auto [few, many] = counts_of(tokens_ / std::max<int64_t>(1, window_length_ - 1));
  std::vector<SliceTimes> times(steps_of(job_).size() - 1);
  for (int64_t blocks : {1, 2})
    for (int64_t count : {few, many}) {
      Job job = slice_job(blocks, windows_, count * (window_length_ - 1), 0);
      std::vector<JobStep> steps = steps_of(job);
      for (size_t i = 1; i < steps.size(); ++i) {
        SliceTimes& t = times[i - 1];
        bool reads = reads_text(steps[i]);
        t.few_count = few;
        t.many_count = reads ? many : few;
        double& cell = (count == few ? t.few : t.many)[blocks - 1];
        if (count == few || reads) cell = NB_TRY(time_of(steps[i]));
      }
      if (few == many) break;
    }
  std::vector<double> out;
  for (const SliceTimes& t : times)
    out.push_back(
        t.at(blocks_, t.few_count == t.many_count ? t.few_count : tokens_ / (window_length_ - 1)));
  return out;
}

Result<JobEstimate> Estimation::run() {
  auto [few, many] = counts_of(tokens_ / std::max<int64_t>(1, window_length_ - 1));
  int64_t runs = (four_corners() ? 4 : 3) + (learning_ > 0 ? 2 : 0);
  for (const JobStep& step : steps_of(job_))
    if (step.name != "quantize") runs += few < many && reads_text(step) ? 4 : 2;
  progress_ = std::make_unique<Progress>("timing slices", runs);
  JobEstimate out;
  out.seconds = {NB_TRY(quantizing())};
  for (double s : NB_TRY(others())) out.seconds.push_back(s);
  out.basis = fmt::format("timed now on the first 1 and 2 of {} blocks", blocks_);
  return out;
}

}  // namespace

double SliceTimes::at(int64_t blocks, int64_t count) const {
  // Noise must not make more work cheaper.
  auto along = [](double from, double to, double share) {
    return from + std::max(0., to - from) * share;
  };
  auto more = static_cast<double>(blocks - 1);
  double low = along(few[0], few[1], more);
  if (few_count == many_count) return low;
  double share =
      static_cast<double>(count - few_count) / static_cast<double>(many_count - few_count);
  return along(low, along(many[0], many[1], more), share);
}

JobEstimate estimate_job(const Job& job) {
  auto done = [&]() -> Result<JobEstimate> { return NB_TRY(Estimation::create(job)).run(); }();
  if (done) return *done;
  JobEstimate unknown;
  unknown.reason = done.error().message;
  return unknown;
}

}  // namespace nibble
