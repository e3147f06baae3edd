#include <unistd.h>

#include <cstdio>

#include "base/file.h"
#include "base/log.h"
#include "cli/chat_flags.h"
#include "cli/common.h"
#include "cli/generation_flags.h"
#include "cli/help.h"
#include "cli/line_reader.h"

namespace nibble {
namespace {

struct ChatOptions {
  std::string model, lora, packed, system, date;
  int64_t context = 0;
  bool json = false;
  Activations activations = Activations::kInt8Block32;
  GenerationOptions generation;
};

class Chat {
 public:
  Chat(const ChatOptions& options, TextModel model, ChatTemplate form)
      : o_(options), model_(std::move(model)), form_(std::move(form)) {
    o_.generation.interrupt = &interrupt_flag();
    conversation_.add_generation_prompt = true;
    tell(o_.system);
  }

  Status run() {
    bool terminal = isatty(STDIN_FILENO) == 1;
    if (terminal) note("/help tells the commands; Ctrl-C stops an answer, Ctrl-D ends.");
    LineReader reader;
    std::string line;
    for (;;) {
      if (terminal) fmt::print(stderr, "> ");
      LineReader::Got got = reader.next(line);
      if (got == LineReader::Got::kEnd || line == "/quit") break;
      if (got == LineReader::Got::kInterrupt) {
        fmt::print(stderr, "\n");
        continue;
      }
      if (line.empty()) continue;
      Status done = line[0] == '/' ? command(line) : answer(line);
      if (!done && !terminal) return done;
      if (!done) log_line(done.error().message);
    }
    if (terminal) fmt::print(stderr, "\n");
    return {};
  }

 private:
  Json& messages() { return conversation_.messages; }
  size_t system_messages() const {
    const Json& all = conversation_.messages;
    return !all.empty() && all[0].value("role", "") == "system" ? 1 : 0;
  }

  // The system's message, replaced; empty: none.
  void tell(const std::string& text) {
    if (system_messages() > 0) messages().erase(0);
    if (!text.empty()) messages().insert(messages().begin(), chat_message("system", text));
  }

  Status command(const std::string& line) {
    size_t space = line.find(' ');
    std::string name = line.substr(0, space);
    std::string rest = space == line.npos ? "" : line.substr(space + 1);
    if (name == "/help") {
      note(
          "/system TEXT    tell the model what it is; without TEXT: nothing\n"
          "/save FILE      write the conversation as JSON\n"
          "/load FILE      go on with a conversation\n"
          "/clear          begin anew\n"
          "/quit           end (as Ctrl-D)");
    } else if (name == "/system") {
      tell(rest);
    } else if (name == "/clear") {
      while (messages().size() > system_messages()) messages().erase(messages().size() - 1);
    } else if ((name == "/save" || name == "/load") && rest.empty()) {
      return fail("{} needs the name of a FILE", name);
    } else if (name == "/save") {
      NB_OK(write_file(
          rest, conversation_.messages.dump(1, ' ', false, Json::error_handler_t::replace) + "\n"));
      note("{} messages are in {}", messages().size(), rest);
    } else if (name == "/load") {
      messages() = NB_TRY(read_conversation(rest)).messages;
      note("{} messages", messages().size());
    } else {
      return fail("{}: no such command; /help tells them", in_quotes(line));
    }
    return {};
  }

  // The prompt; the oldest turns go where it leaves no room for an answer.
  Result<ChatPrompt> prompt() {
    const Tokenizer* tokenizer = NB_TRY(model_.need_tokenizer());
    int64_t context = model_.decoder.context(), room = context / 4;
    for (bool told = false;; told = true) {
      ChatPrompt made =
          NB_TRY(chat_prompt(form_, *tokenizer, conversation_, NB_TRY(parse_date(o_.date))));
      size_t first = system_messages();
      bool fits = static_cast<int64_t>(made.ids.size()) + room <= context;
      if (fits || messages().size() < first + 3) return made;
      if (!told) note("the conversation fills the context; its oldest turns are forgotten");
      messages().erase(first);
      messages().erase(first);
    }
  }

  Status answer(const std::string& line) {
    Json before = messages();
    messages().push_back(chat_message("user", line));
    auto done = write_answer();
    if (!done) messages() = std::move(before);  // the question is as if never asked
    return done;
  }

  Status write_answer() {
    ChatPrompt made = NB_TRY(prompt());
    interrupt_flag().store(false);
    auto show = [&](std::string_view text) {
      if (o_.json) return;
      put(text);
      std::fflush(stdout);
    };
    Generation g = NB_TRY(generate(model_, made.ids, o_.generation, show, &past_));
    interrupt_flag().store(false);
    messages().push_back(chat_message("assistant", g.text));
    if (o_.json)
      put_json_line({{"text", g.text},
                     {"finish", finish_name(g.finish)},
                     {"prompt_tokens", made.ids.size()},
                     {"tokens", g.ids.size()},
                     {"decode_seconds", g.decode_seconds}});
    else
      put("\n");
    std::fflush(stdout);
    if (g.finish == Finish::kContext) note("stopped: the context is full; /clear begins anew");
    return {};
  }

  ChatOptions o_;
  TextModel model_;
  ChatTemplate form_;
  Conversation conversation_;
  Past past_;
};

Result<int> chat(const ChatOptions& o) {
  NB_OK(check_options(o.generation));
  std::string folder = NB_TRY(model_folder(o.model));
  ChatTemplate form = NB_TRY(ChatTemplate::load(folder));
  TextModel model = NB_TRY(
      TextModel::load(NB_TRY(Weights::open(folder, o.lora)), o.activations, o.context, o.packed));
  NB_TRY(model.need_tokenizer());
  add_end_of_turn(form, model);
  NB_OK(Chat(o, std::move(model), std::move(form)).run());
  return 0;
}

CommandBody setup(CLI::App& app) {
  auto o = std::make_shared<ChatOptions>();
  o->generation.max_tokens = 1024;
  add_model_option(app, o->model);
  add_lora_option(app, o->lora);
  app.add_option("--system", o->system, "What the model is told first")->type_name("TEXT");
  add_date_option(app, o->date);
  add_generation_options(app, o->generation);
  app.add_option("-c,--context", o->context,
                 "Most tokens of the conversation (default: the model's, at most 4096)")
      ->check(within(2, 1 << 20))
      ->type_name("N");
  add_cache_option(app, o->generation.cache);
  add_packed_option(app, o->packed);
  add_threads_option(app);
  add_activations_option(app, o->activations);
  add_json_option(app, o->json);
  app.footer("Example: nibble chat MODEL --system \"You are terse.\"");
  return [o] { return chat(*o); };
}

}  // namespace

const Command kCommand_chat = {"chat", "talk with a model that has a chat template", setup};

}  // namespace nibble
