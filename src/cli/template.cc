
#include "cli/chat_flags.h"
#include "cli/common.h"
#include "jinja/chat_template.h"

namespace nibble {
namespace {

struct TemplateOptions {
  std::string model, name, messages, tools, date;
  std::vector<std::string> set;
  bool add_generation_prompt = false, json = false;
};

// NAME=VALUE, the value JSON where it is some (true, 3, ["a"]), else a text.
Status set_variable(const std::string& text, Json& variables) {
  size_t equals = text.find('=');
  if (equals == text.npos || equals == 0)
    return usage("--set takes NAME=VALUE, not {}", in_quotes(text));
  std::string value = text.substr(equals + 1);
  auto json = parse_json(value, "--set");
  variables[text.substr(0, equals)] = json ? std::move(*json) : Json(value);
  return {};
}

Result<int> write_template(const TemplateOptions& o) {
  if (o.messages.empty()) return usage("give the messages with --messages FILE");
  ChatTemplate form = NB_TRY(ChatTemplate::load(NB_TRY(model_folder(o.model)), o.name));
  Conversation conversation = NB_TRY(read_conversation(o.messages));
  conversation.add_generation_prompt = o.add_generation_prompt;
  if (!o.tools.empty()) conversation.tools = NB_TRY(read_json(o.tools));
  for (const std::string& text : o.set) NB_OK(set_variable(text, conversation.variables));
  std::string text = NB_TRY(form.render(conversation, NB_TRY(parse_date(o.date))));
  if (o.json)
    put_json({{"text", text}});
  else
    put(text);
  return 0;
}

CommandBody setup(CLI::App& app) {
  auto o = std::make_shared<TemplateOptions>();
  app.add_option("MODEL", o->model,
                 "Model folder with a chat template, or a template file alone (.jinja)")
      ->type_name("");
  app.add_option("-m,--messages", o->messages,
                 "Messages as JSON: [{\"role\": \"user\", \"content\": \"Hello\"}, ...]; - is "
                 "standard input")
      ->type_name("FILE");
  app.add_option("--tools", o->tools, "Tools as a JSON list of schemas")->type_name("FILE");
  app.add_option("--name", o->name, "Which of a folder's named templates (default: default)")
      ->type_name("NAME");
  app.add_flag("--add-generation-prompt", o->add_generation_prompt,
               "End with what opens the model's answer");
  auto* set = app.add_option("--set")
                  ->description(
                      "NAME=VALUE: a variable of the template, as bos_token=<s>, "
                      "enable_thinking=false, or strftime_now=TEXT for a date in no format; may be "
                      "given several times")
                  ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll)
                  ->allow_extra_args(false)
                  ->type_name("NAME=VALUE");
  add_date_option(app, o->date);
  add_json_option(app, o->json);
  app.footer("Example: nibble template MODEL --messages chat.json --add-generation-prompt");
  return [o, set] {
    o->set = set->results();
    return write_template(*o);
  };
}

}  // namespace

const Command kCommand_template = {"template",
                                   "a conversation as the model's chat template writes it", setup};

}  // namespace nibble
