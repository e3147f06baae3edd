#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <iostream>

#include "base/log.h"
#include "base/memory.h"
#include "cli/chat_flags.h"
#include "cli/common.h"
#include "cli/generation_flags.h"
#include "cli/help.h"
#include "runtime/session.h"

namespace nibble {
namespace {

struct RunOptions {
  std::string model, lora, packed, prompt, ids, system, date;
  bool has_prompt = false, has_ids = false, json = false, chat = false;
  int64_t context = 0;
  double load_seconds = 0;
  Activations activations = Activations::kInt8Block32;
  GenerationOptions generation;
};

double rate(int64_t tokens, double seconds) {
  return seconds > 0 ? static_cast<double>(tokens) / seconds : 0;
}

// The first token comes out of the prompt; the others are what decoding brought.
double decode_rate(const Generation& g) {
  return rate(std::max<int64_t>(0, static_cast<int64_t>(g.ids.size()) - 1), g.decode_seconds);
}

Result<Json> to_json(const RunOptions& o, const TextModel& model, std::string_view prompt,
                     std::span<const int32_t> prompt_ids, const Generation& g) {
  ArithmeticCounts linears = model.decoder.arithmetic();
  Json j;
  j["prompt"] = prompt;
  j["prompt_ids"] = prompt_ids;
  j["ids"] = g.ids;
  j["text"] = g.text;
  j["finish"] = finish_name(g.finish);
  j["activations"] = linears.int8() > 0 ? activations_name(o.activations) : "float";
  j["kernels"] = linears.integer > 0 ? NB_TRY(kernel_table_name()) : "float";
  j["integer_linears"] = linears.integer;
  j["rounded_linears"] = linears.rounded;
  j["linears"] = linears.all;
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

// A prompt as the model gets it: as it stands, or in a conversation of its own.
Result<ChatPrompt> make_prompt(const RunOptions& o, const TextModel& model,
                               const std::optional<ChatTemplate>& form, const std::string& text) {
  const Tokenizer* tokenizer = NB_TRY(model.need_tokenizer());
  if (!form) return ChatPrompt{text, NB_TRY(encode_prompt(*tokenizer, text))};
  Conversation conversation;
  if (!o.system.empty()) conversation.messages.push_back(chat_message("system", o.system));
  conversation.messages.push_back(chat_message("user", text));
  conversation.add_generation_prompt = true;
  return chat_prompt(*form, *tokenizer, conversation, NB_TRY(parse_date(o.date)));
}

// One prompt, its text streamed; `prompt` is shown before it, but not in a chat.
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
    if (!shown && !o.chat) put(prompt);  // only once the request has proved sound
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
Status answer_lines(const RunOptions& o, const TextModel& model,
                    const std::optional<ChatTemplate>& form) {
  NB_TRY(model.need_tokenizer());
  bool terminal = isatty(STDIN_FILENO) == 1;
  if (terminal) note("One line is one prompt; an empty line or Ctrl-D ends.");
  std::string line;
  for (;;) {
    if (terminal) fmt::print(stderr, "> ");
    if (!std::getline(std::cin, line)) break;
    if (line.empty() && terminal) break;
    if (line.empty()) continue;
    auto done = [&]() -> Status {
      ChatPrompt prompt = NB_TRY(make_prompt(o, model, form, line));
      return answer(o, model, prompt.text, prompt.ids, /*json_lines=*/true);
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
  if (o.has_ids && o.chat) return usage("--chat writes the ids itself; give -p or lines");
  if (!o.system.empty() && !o.chat) return usage("--system is for --chat");
  std::string folder = NB_TRY(model_folder(o.model));
  auto start = std::chrono::steady_clock::now();
  TextModel model = NB_TRY(
      TextModel::load(NB_TRY(Weights::open(folder, o.lora)), o.activations, o.context, o.packed));
  o.load_seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  std::optional<ChatTemplate> form;
  if (o.chat) {
    form = NB_TRY(ChatTemplate::load(folder));
    add_end_of_turn(*form, model);
  }
  std::string arithmetic = NB_TRY(describe_arithmetic(o.activations, model.decoder.arithmetic()));
  if (o.context > model.decoder.config().context)
    warn("the model was made for a context of {}", model.decoder.config().context);
  if (!o.has_prompt && !o.has_ids) {
    note("arithmetic: {}", arithmetic);
    NB_OK(answer_lines(o, model, form));
    if (!o.json) tell_machine(o);
    return 0;
  }
  std::string prompt = o.prompt;
  if (o.has_prompt) {
    ChatPrompt made = NB_TRY(make_prompt(o, model, form, prompt));
    prompt = std::move(made.text);
    ids = std::move(made.ids);
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
  add_lora_option(app, o->lora);
  auto* prompt = app.add_option("-p,--prompt", o->prompt,
                                "Text to continue; without it, each line "
                                "of standard input is a prompt")
                     ->type_name("TEXT");
  auto* ids =
      app.add_option("--ids", o->ids, "Exact token ids of the prompt, as 1,5,9")->type_name("LIST");
  app.add_flag("--chat", o->chat, "Ask in the model's chat template; only the answer is shown");
  app.add_option("--system", o->system, "With --chat: what the model is told first")
      ->type_name("TEXT");
  add_date_option(app, o->date);
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
