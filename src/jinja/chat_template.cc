// Reference: transformers, utils/chat_template_utils.py and tokenization_utils_base.py.
#include "jinja/chat_template.h"

#include <algorithm>

#include "base/file.h"
#include "text/gguf_tokenizer.h"

namespace nibble {
namespace {

constexpr int64_t kMostBytes = 1 << 26;

Result<Json> read_object(const std::string& path) {
  if (!path_exists(path)) return Json::object();
  Json json = NB_TRY(parse_json(NB_TRY(read_file(path, kMostBytes)), path));
  if (!json.is_object()) return fail("{}: should hold a JSON object", path);
  return json;
}

// The special tokens by name, each as its text.
void add_tokens(const Json& config, Json& tokens) {
  for (const char* key : {"bos_token", "eos_token", "unk_token", "sep_token", "pad_token",
                          "cls_token", "mask_token"}) {
    auto it = config.find(key);
    if (it == config.end() || tokens.contains(key)) continue;
    const Json* text = &*it;
    if (it->is_object()) {
      auto content = it->find("content");
      if (content == it->end()) continue;
      text = &*content;
    }
    if (text->is_string()) tokens[key] = *text;
  }
}

// The texts of a list of named templates, by name.
Result<Json> named_templates(const Json& value, const std::string& where) {
  Json out = Json::object();
  if (value.is_string()) out["default"] = value;
  if (!value.is_array()) return out;
  for (const Json& one : value) {
    std::string name = NB_TRY(get_string(one, "name", std::nullopt, where));
    out[name] = NB_TRY(get_string(one, "template", std::nullopt, where));
  }
  return out;
}

std::string names_of(const Json& templates) {
  std::string out;
  for (const auto& [name, text] : templates.items())
    out += (out.empty() ? "" : ", ") + in_quotes(name);
  return out;
}

Result<Json> templates_of(const std::string& folder, const Json& config) {
  Json all = Json::object();
  if (auto it = config.find("chat_template"); it != config.end())
    all = NB_TRY(named_templates(*it, folder + "/tokenizer_config.json"));
  std::string more = folder + "/additional_chat_templates";
  if (is_folder(more))
    for (const std::string& file : NB_TRY(list_files(more)))
      if (file.ends_with(".jinja"))
        all[file.substr(0, file.size() - 6)] = NB_TRY(read_file(more + "/" + file, kMostBytes));
  std::string own = folder + "/chat_template.jinja";
  if (path_exists(own)) all["default"] = NB_TRY(read_file(own, kMostBytes));
  return all;
}

// What older and newer templates call the same field (transformers, _alias_reasoning_fields).
Json with_reasoning(const Json& messages) {
  Json out = Json::array();
  for (const Json& message : messages) {
    const Json* reasoning = nullptr;
    for (const char* key : {"reasoning_content", "thinking", "reasoning"})
      if (auto it = message.find(key); !reasoning && it != message.end() && !it->is_null())
        reasoning = &*it;
    if (!reasoning) {
      out.push_back(message);
      continue;
    }
    Json changed = Json::object();
    changed["thinking"] = *reasoning;
    changed.update(message);
    changed["reasoning_content"] = *reasoning;
    out.push_back(std::move(changed));
  }
  return out;
}

Status check_messages(const Json& messages, const std::string& what) {
  if (!messages.is_array()) return fail("{}: the messages should be a JSON list", what);
  for (const Json& message : messages)
    if (!message.is_object()) return fail("{}: a message should be a JSON object", what);
  return {};
}

}  // namespace

Result<Conversation> read_conversation(const std::string& path) {
  Json json = NB_TRY(parse_json(NB_TRY(read_file(path, kMostBytes)), path));
  Conversation out;
  if (json.is_object() && json.contains("messages")) {
    out.messages = json["messages"];
    if (json.contains("tools")) out.tools = json["tools"];
  } else {
    out.messages = std::move(json);
  }
  NB_OK(check_messages(out.messages, path));
  return out;
}

namespace {

// The template of that name, or the usual one of the model at `path`.
Result<std::string> pick(const Json& all, const std::string& name, const std::string& path) {
  if (all.empty())
    return fail(
        "{}: has no chat template in {}", path,
        is_gguf_model(path) ? "its metadata" : "chat_template.jinja or tokenizer_config.json");
  std::string wanted = name.empty() ? "default" : name;
  if (name.empty() && !all.contains(wanted) && all.size() == 1) wanted = all.begin().key();
  if (!all.contains(wanted))
    return fail("{}: has no chat template {}; it has {}", path, in_quotes(wanted), names_of(all));
  return all[wanted].get<std::string>();
}

}  // namespace

Result<ChatTemplate> ChatTemplate::load(const std::string& path, const std::string& name) {
  Json tokens = Json::object();
  std::string source, where = path;
  bool gguf = is_gguf_model(path);
  if (gguf || is_folder(path)) {
    Json config = gguf ? NB_TRY(gguf_tokenizer_config(NB_TRY(GgufModel::open(path))))
                       : NB_TRY(read_object(path + "/tokenizer_config.json"));
    add_tokens(config, tokens);
    if (!gguf) add_tokens(NB_TRY(read_object(path + "/special_tokens_map.json")), tokens);
    source = NB_TRY(pick(NB_TRY(templates_of(path, config)), name, path));
    where += ": chat template";
  } else {
    source = NB_TRY(read_file(path, kMostBytes));
  }
  auto body = JinjaTemplate::parse(source);
  if (!body) return fail("{}: {}", where, body.error().message);
  return ChatTemplate(std::move(*body), std::move(source), std::move(tokens));
}

Result<std::string> ChatTemplate::render(const Conversation& conversation, int64_t date) const {
  NB_OK(check_messages(conversation.messages, "the conversation"));
  Json variables = tokens_;
  variables["messages"] = with_reasoning(conversation.messages);
  variables["tools"] = conversation.tools;
  variables["documents"] = nullptr;
  variables["add_generation_prompt"] = conversation.add_generation_prompt;
  variables.update(conversation.variables);
  auto text = body_.render(variables, date);
  if (!text) return fail("the chat template: {}", text.error().message);
  return text;
}

}  // namespace nibble
