#include "cli/eval_task.h"

#include <chrono>

#include "cli/common.h"

namespace nibble {
namespace {

// The answers depend on all of this and on the model.
Json task_json(const TaskFlags& f, const Task& task, int64_t context) {
  Json j = {{"kind", task.kind->name}, {"digest", task.digest}, {"context", context}};
  if (task.kind->ask == Ask::kText) {
    j["max_tokens"] = f.answers.max_tokens;
    j["stop"] = f.answers.stop;
  }
  return j;
}

struct Answered {
  std::vector<Answer> answers;
  ArithmeticCounts linears;
};

Result<Answered> answer(const std::string& folder, const std::string& lora, Activations activations,
                        const TaskFlags& f, const Task& task, int64_t context,
                        AnswerJournal& journal) {
  Weights weights = NB_TRY(Weights::open(folder, lora));
  std::string name;
  if (!f.journal.empty()) name = NB_TRY(weights.digest()) + " " + activations_name(activations);
  TextModel model = NB_TRY(TextModel::load(std::move(weights), activations, context));
  if (!model.tokenizer) return fail("{}: has no tokenizer, and a task is made of texts", folder);
  return Answered{NB_TRY(answer_task(model, task, f.answers, name, journal)),
                  model.decoder.arithmetic()};
}

Json estimate_json(const Estimate& e) {
  return {{"value", e.value}, {"low", e.low}, {"high", e.high}};
}

}  // namespace

Json scores_json(const TaskScores& scores) {
  Json metrics = Json::object();
  for (const MetricScore& m : scores.metrics) {
    Json j = estimate_json(m.own);
    if (!m.signature.empty()) j["signature"] = m.signature;
    if (m.reference) j["reference"] = *m.reference;
    if (m.difference) j["difference"] = estimate_json(*m.difference);
    metrics[m.name] = j;
  }
  Json out = {{"metrics", metrics}};
  if (scores.flips)
    out["flips"] = {{"changed", scores.flips->changed},
                    {"lost", scores.flips->lost},
                    {"gained", scores.flips->gained}};
  return out;
}

void print_scores(const TaskScores& scores, const Task& task) {
  for (const MetricScore& m : scores.metrics) {
    put_line("  {:<12} {:.4f}, 95 % between {:.4f} and {:.4f}", m.name, m.own.value, m.own.low,
             m.own.high);
    if (!m.signature.empty()) put_line("  {:<12} {}", "", m.signature);
    if (m.difference)
      put_line("  {:<12} float model {:.4f}; {:+.4f}, 95 % between {:+.4f} and {:+.4f}", "",
               *m.reference, m.difference->value, m.difference->low, m.difference->high);
  }
  if (!scores.flips) return;
  std::string judged;
  if (task.kind->decides)
    judged = fmt::format("; {} right ones became wrong, {} wrong ones right", scores.flips->lost,
                         scores.flips->gained);
  put_line("  {:<12} {} of {} changed{}", "answers", scores.flips->changed, task.items.size(),
           judged);
}

void add_task_options(CLI::App& app, TaskFlags& f) {
  std::string kinds;
  for (const TaskKind* k : task_kinds()) kinds += fmt::format("\n{}: {}", k->name, k->summary);
  app.add_option("--task", f.task.file, "Items to answer in place of a text, JSONL or a JSON list")
      ->type_name("FILE");
  app.add_option("--task-kind", f.task.kind,
                 "What the items are (default: by the first item's fields)" + kinds)
      ->needs("--task");
  app.add_option("--labels", f.task.labels,
                 "The right options where the items do not tell, one "
                 "number a line, the first option 0")
      ->needs("--task")
      ->type_name("FILE");
  app.add_option("--limit", f.task.limit, "Only the first N items")
      ->needs("--task")
      ->check(CLI::PositiveNumber);
  app.add_option("--journal", f.journal,
                 "Keep every answer here: a stopped run goes on, and one float model's answers "
                 "serve many quantized ones")
      ->needs("--task")
      ->type_name("FILE");
  app.add_option(
         "--max-tokens", f.answers.max_tokens,
         fmt::format("Where the model writes: tokens at most (default: {})", f.answers.max_tokens))
      ->needs("--task")
      ->check(CLI::Range(1, 1 << 20));
  app.add_option("--stop", f.answers.stop,
                 "Where the model writes: the text that ends it (default: an empty line)")
      ->needs("--task")
      ->type_name("TEXT");
}

Result<int> run_task(const TaskFlags& f, const EvalModels& m) {
  auto start = std::chrono::steady_clock::now();
  Task task = NB_TRY(read_task(f.task));
  AnswerJournal journal = NB_TRY(AnswerJournal::open(f.journal, task_json(f, task, m.context)));
  Answered own = NB_TRY(answer(m.model, m.lora, m.activations, f, task, m.context, journal));
  std::vector<Answer> reference;
  if (!m.against.empty())
    reference =
        NB_TRY(answer(m.against, m.against_lora, Activations::kFloat, f, task, m.context, journal))
            .answers;
  TaskScores scores = score_task(task, own.answers, reference);
  std::string arithmetic = NB_TRY(describe_arithmetic(m.activations, own.linears));
  double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  if (m.json) {
    Json j = {{"model", m.model},
              {"against", m.against.empty() ? Json(nullptr) : Json(m.against)},
              {"task", f.task.file},
              {"kind", task.kind->name},
              {"items", task.items.size()},
              {"activations", activations_name(m.activations)},
              {"arithmetic", arithmetic}};
    j.update(scores_json(scores));
    j["seconds"] = seconds;
    put_json(j);
    return 0;
  }
  put_line("{}: {} items of {} ({})", m.model, task.items.size(), f.task.file, task.kind->name);
  put_line("  {:<12} {}", "arithmetic", arithmetic);
  print_scores(scores, task);
  return 0;
}

}  // namespace nibble
