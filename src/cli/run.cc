#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <iostream>

#include "base/log.h"
#include "base/memory.h"
#include "cli/common.h"
#include "cli/help.h"
#include "runtime/session.h"

namespace nibble {
namespace {

struct RunOptions {
  std::string model, packed, prompt, ids;
  bool has_prompt = false, has_ids = false, json = false;
  int64_t context = 0;
  double load_seconds = 0;
  Activations activations = Activations::kInt8Block32;
  GenerationOptions generation;
};

void add_generation_options(CLI::App& app, GenerationOptions& g) {
  SamplingOptions& s = g.sampling;
  app.add_option("-n,--tokens", g.max_tokens, "Write at most N tokens (default: 128)")
      ->type_name("N");
  app.add_option("--temperature", s.temperature,
                 "Flatten (> 1) or sharpen (< 1) the choice; 0: always the most likely token "
                 "(default: 0.8)")
      ->type_name("T");
  app.add_option("--top-k", s.top_k, "Choose among the K most likely tokens; 0: all (default: 0)")
      ->type_name("K");
  app.add_option("--top-p", s.top_p,
                 "Choose among the most likely tokens that together reach P (default: 1)")
      ->type_name("P");
  app.add_option("--min-p", s.min_p,
                 "Leave out tokens less than P times as likely as the likeliest (default: 0)")
      ->type_name("P");
  app.add_option("--repetition-penalty", s.repetition_penalty,
                 "Above 1: avoid tokens that stand in the text already (default: 1)")
      ->type_name("X");
  app.add_option("--seed", s.seed, "The same seed writes the same text (default: 0)")
      ->type_name("N");
  app.add_flag("--ignore-eos", g.ignore_eos, "Write on after the model's end-of-text token");
}

double rate(int64_t tokens, double seconds) {
  return seconds > 0 ? static_cast<double>(tokens) / seconds : 0;
}

// The first token comes out of the prompt; the others are what decoding brought.
double decode_rate(const Generation& g) {
  return rate(std::max<int64_t>(0, static_cast<int64_t>(g.ids.size()) - 1), g.decode_seconds);
}

Result<Json> to_json(const RunOptions& o, const TextModel& model, std::string_view prompt,
                     std::span<const int32_t> prompt_ids, const Generation& g) {
  auto [integer, all] = model.decoder.integer_linears();
  Json j;
  j["prompt"] = prompt;
  j["prompt_ids"] = prompt_ids;
  j["ids"] = g.ids;
  j["text"] = g.text;
  j["finish"] = finish_name(g.finish);
  j["activations"] = integer > 0 ? activations_name(o.activations) : "float";
  j["kernels"] = integer > 0 ? NB_TRY(kernel_table_name()) : "float";
  j["integer_linears"] = integer;
  j["linears"] = all;
  j["cache"] = cache_name(o.generation.cache);
  j["load_seconds"] = o.load_seconds;
  j["prefill_seconds"] = g.prefill_seconds;
  j["decode_seconds"] = g.decode_seconds;
  j["first_token_seconds"] = g.first_token_seconds;
  j["prefill_tokens_per_second"] = rate(static_cast<int64_t>(prompt_ids.size()), g.prefill_seconds);
  j["decode_tokens_per_second"] = decode_rate(g);
  ResidentMemory memory = resident_memory();
  j["resident_anonymous_bytes"] = memory.anonymous;
  j["resident_file_bytes"] = memory.file;
  return j;
}

void tell_timing(const TextModel& model, size_t prompt_tokens, const Generation& g) {
  if (g.finish == Finish::kContext)
    note("stopped: the context of {} tokens is full", model.decoder.context());
  note(
      "prompt: {} tokens, {:.1f} tokens/s; first token after {:.0f} ms; text: {} tokens, {:.1f} "
      "tokens/s",
      prompt_tokens, rate(static_cast<int64_t>(prompt_tokens), g.prefill_seconds),
      g.first_token_seconds * 1e3, g.ids.size(), decode_rate(g));
}

// One prompt, its text streamed; `prompt` is shown before it.
Status answer(const RunOptions& o, const TextModel& model, std::string_view prompt,
              std::span<const int32_t> ids, bool json_lines) {
  if (o.json) {
    Generation g = NB_TRY(generate(model, ids, o.generation));
    Json j = NB_TRY(to_json(o, model, prompt, ids, g));
    if (json_lines)
      put_json_line(j);
    else
      put_json(j);
    std::fflush(stdout);
    return {};
  }
  bool shown = false;
  auto show = [&](std::string_view text) {
    if (!shown) put(prompt);  // only once the request has proved sound
    shown = true;
    put(text);
    std::fflush(stdout);
  };
  Generation g = NB_TRY(generate(model, ids, o.generation, show));
  if (!model.tokenizer)
    put_line("{}", ids_text(g.ids));
  else if (!g.text.ends_with('\n'))
    show("\n");
  std::fflush(stdout);
  tell_timing(model, ids.size(), g);
  return {};
}

// Every line of standard input is a prompt of its own.
Status answer_lines(const RunOptions& o, const TextModel& model) {
  const Tokenizer* tokenizer = NB_TRY(model.need_tokenizer());
  bool terminal = isatty(STDIN_FILENO) == 1;
  if (terminal) note("One line is one prompt; an empty line or Ctrl-D ends.");
  std::string line;
  for (;;) {
    if (terminal) fmt::print(stderr, "> ");
    if (!std::getline(std::cin, line)) break;
    if (line.empty() && terminal) break;
    if (line.empty()) continue;
    auto done = [&]() -> Status {
      return answer(o, model, line, NB_TRY(encode_prompt(*tokenizer, line)), /*json_lines=*/true);
    }();
    if (!done && !terminal) return done;
    if (!done) log_line(done.error().message);  // the person at the terminal tries another line
  }
  return {};
}

// Once, when all text is written.
void tell_machine(const RunOptions& o) {
  ResidentMemory memory = resident_memory();
  note("load: {:.3f} s; resident: {} anonymous, {} of files", o.load_seconds,
       bytes_text(memory.anonymous), bytes_text(memory.file));
}

Result<int> run(RunOptions o) {
  NB_OK(check_options(o.generation));
  if (o.has_prompt && o.has_ids) return usage("-p and --ids are two prompts; give one");
  std::vector<int32_t> ids = NB_TRY(parse_ids(o.ids));
  if (o.has_ids && ids.empty()) return usage("--ids names no token");
  std::string folder = NB_TRY(model_folder(o.model));
  auto start = std::chrono::steady_clock::now();
  TextModel model = NB_TRY(TextModel::load(folder, o.activations, o.context, o.packed));
  o.load_seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  std::string arithmetic =
      NB_TRY(describe_arithmetic(o.activations, model.decoder.integer_linears()));
  if (o.context > model.decoder.config().context)
    warn("the model was made for a context of {}", model.decoder.config().context);
  if (!o.has_prompt && !o.has_ids) {
    note("arithmetic: {}", arithmetic);
    NB_OK(answer_lines(o, model));
    if (!o.json) tell_machine(o);
    return 0;
  }
  std::string prompt = o.prompt;
  if (o.has_prompt) {
    ids = NB_TRY(encode_prompt(*NB_TRY(model.need_tokenizer()), prompt));
  } else {
    NB_OK(check_ids(ids, model.decoder.config().vocab));
    if (model.tokenizer) prompt = NB_TRY(model.tokenizer->decode(ids, /*skip_special=*/true));
  }
  note("arithmetic: {}", arithmetic);
  NB_OK(answer(o, model, prompt, ids, /*json_lines=*/false));
  if (!o.json) tell_machine(o);
  return 0;
}

CommandBody setup(CLI::App& app) {
  auto o = std::make_shared<RunOptions>();
  add_model_option(app, o->model);
  auto* prompt = app.add_option("-p,--prompt", o->prompt,
                                "Text to continue; without it, each line "
                                "of standard input is a prompt")
                     ->type_name("TEXT");
  auto* ids =
      app.add_option("--ids", o->ids, "Exact token ids of the prompt, as 1,5,9")->type_name("LIST");
  add_generation_options(app, o->generation);
  // Read raw below: CLI11's own conversion to a list takes "{}" and "[a,b]" for lists.
  auto* stop = app.add_option("--stop")
                   ->description("End before this text appears; may be given several times")
                   ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll)
                   ->allow_extra_args(false)
                   ->type_name("TEXT");
  app.add_option("-c,--context", o->context,
                 "Most tokens of prompt and text together (default: the model's, at most 4096)")
      ->check(within(2, 1 << 20))
      ->type_name("N");
  add_cache_option(app, o->generation.cache);
  add_packed_option(app, o->packed);
  add_threads_option(app);
  add_activations_option(app, o->activations);
  add_json_option(app, o->json);
  app.footer("Example: nibble run -p \"Once upon a time\" --temperature 0 -n 60");
  return [o, prompt, ids, stop] {
    o->generation.stop = stop->results();
    o->has_prompt = prompt->count() > 0;
    o->has_ids = ids->count() > 0;
    return run(*o);
  };
}

}  // namespace

const Command kCommand_run = {"run", "write text: -p \"Once upon a time\", or prompts line by line",
                              setup};

}  // namespace nibble
