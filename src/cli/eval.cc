#include <algorithm>
#include <chrono>
#include <memory>
#include <optional>

#include "base/log.h"
#include "cli/common.h"
#include "cli/eval_task.h"
#include "cli/eval_texts.h"
#include "eval/evaluation.h"

namespace nibble {
namespace {

struct Arguments : EvalModels {
  std::string text, protocol = "bos-windows", max_increase;
  WindowOptions windows;
  TaskFlags task;
  TextsFlags texts;
};

struct Outcome : Evaluation {
  std::string arithmetic{};
  double seconds = 0;
};

Result<Outcome> measure(const Arguments& a) {
  auto start = std::chrono::steady_clock::now();
  Weights candidate = NB_TRY(Weights::open(a.model, a.lora));
  std::optional<Weights> reference;
  if (!a.against.empty()) reference = NB_TRY(Weights::open(a.against, a.against_lora));
  Outcome out{NB_TRY(evaluate(std::move(candidate), std::move(reference),
                              a.against.empty() ? a.model : a.against,
                              {a.text, a.windows, a.activations}))};
  out.arithmetic = NB_TRY(describe_arithmetic(a.activations, out.linears));
  out.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  return out;
}

Json outcome_json(const Arguments& a, const Outcome& o) {
  Json j = {{"model", a.model},
            {"against", a.against.empty() ? Json(nullptr) : Json(a.against)},
            {"text", a.text},
            {"protocol", protocol_name(a.windows.protocol)},
            {"context", a.windows.context},
            {"tokens", o.tokens},
            {"windows", o.windows},
            {"activations", activations_name(a.activations)},
            {"arithmetic", o.arithmetic},
            {"perplexity", o.scores.perplexity}};
  if (o.compared) {
    j["reference_perplexity"] = o.scores.reference_perplexity;
    j["perplexity_ratio"] = o.scores.ratio;
    j["ratio_low"] = o.scores.ratio_low;
    j["ratio_high"] = o.scores.ratio_high;
    j["kl_mean"] = o.scores.kl_mean;
    j["kl_p99"] = o.scores.kl_p99;
    j["kl_max"] = o.scores.kl_max;
    j["top1"] = o.scores.top1;
  }
  j["bpw"] = o.size.bits_per_weight();
  j["file_bpw"] = o.size.file_bits();
  j["seconds"] = o.seconds;
  return j;
}

void print_outcome(const Arguments& a, const Outcome& o) {
  const Comparison& s = o.scores;
  put_line("{}: {} tokens in {} windows of {} ({})", a.model, o.tokens, o.windows,
           a.windows.context, protocol_name(a.windows.protocol));
  put_line("  arithmetic       {}", o.arithmetic);
  put_line("  bits per weight  {:.3f} (whole file {:.3f})", o.size.bits_per_weight(),
           o.size.file_bits());
  put_line("  perplexity       {:.4f}", s.perplexity);
  if (!o.compared) return;
  put_line("  float model's    {:.4f}; ratio {:.5f}, 95 % between {:.5f} and {:.5f}",
           s.reference_perplexity, s.ratio, s.ratio_low, s.ratio_high);
  put_line("  KL divergence    {:.6f} nats a token (p99 {:.4f}, largest {:.3f})", s.kl_mean,
           s.kl_p99, s.kl_max);
  put_line("  top-1 agreement  {:.2f} %", 100 * s.top1);
}

// On held-out text.
Result<int> run_text(Arguments& a) {
  if (a.context > 0) a.windows.context = a.context;
  a.windows.protocol = NB_TRY(parse_protocol(a.protocol));
  std::optional<double> most;
  if (!a.max_increase.empty()) {
    most = parse_share(a.max_increase);
    if (!most || !(*most >= 0))
      return usage("--max-increase takes a share as 1% or 0.01, not \"{}\"", a.max_increase);
  }
  if (most && a.against.empty()) return usage("--max-increase needs --against");
  Outcome o = NB_TRY(measure(a));
  if (a.json)
    put_json(outcome_json(a, o));
  else
    print_outcome(a, o);
  if (most && o.scores.ratio > 1 + *most)
    return fail("perplexity rose by {:.3f} %, more than the {:.3f} % allowed",
                100 * (o.scores.ratio - 1), 100 * *most);
  return 0;
}

Result<int> run(Arguments& a) {
  if (a.text.empty() + a.task.task.file.empty() + a.texts.hypotheses.empty() != 2)
    return usage("give one of --text, --task and --bleu");
  if (!a.texts.hypotheses.empty()) return score_texts(a.texts, a.json);
  a.model = NB_TRY(model_folder(a.model));
  return a.text.empty() ? run_task(a.task, a) : run_text(a);
}

CommandBody setup(CLI::App& app) {
  auto a = std::make_shared<Arguments>();
  add_model_option(app, a->model);
  add_lora_option(app, a->lora);
  app.add_option("--against", a->against, "The float model to compare with, run beside it");
  app.add_option("--against-lora", a->against_lora, "LoRA adapter merged into that one")
      ->needs("--against")
      ->type_name("FOLDER");
  app.add_option("--text", a->text, "UTF-8 text that calibration never saw, - for standard input");
  app.add_option("--protocol", a->protocol,
                 "How the text is cut: bos-windows, gptq or llama.cpp (default: bos-windows)");
  app.add_option("--context", a->context,
                 fmt::format("Tokens a window (default: {}), or that a task's prompts may have "
                             "(default: the model's)",
                             WindowOptions{}.context))
      ->check(CLI::Range(2, 1 << 20));
  app.add_option("--tokens", a->windows.tokens, "Use only the first N tokens of the text")
      ->check(CLI::PositiveNumber);
  app.add_option("--max-increase", a->max_increase,
                 "Exit 1 if perplexity rose by more than this, as 1%");
  add_task_options(app, a->task);
  add_texts_options(app, a->texts);
  add_activations_option(app, a->activations);
  add_threads_option(app);
  add_json_option(app, a->json);
  return [a] { return run(*a); };
}

}  // namespace

extern const Command kCommand_eval = {
    "eval", "measure what quantizing cost: on held-out text, on tasks", setup};

}  // namespace nibble
