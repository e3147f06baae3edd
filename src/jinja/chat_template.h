// A model folder's chat template, and what transformers gives it besides the messages.
#pragma once

#include <optional>
#include <string>

#include "jinja/template.h"

namespace nibble {

// One conversation to be written as a prompt.
struct Conversation {
  Json messages = Json::array();    // of {"role", "content", ...}
  Json tools;                       // null: none
  Json variables = Json::object();  // further ones, which win over all others
  bool add_generation_prompt = false;
};
// A file of messages: a list of them, or an object with "messages" and perhaps "tools".
Result<Conversation> read_conversation(const std::string& path);

class ChatTemplate {
 public:
  // Of a folder: chat_template.jinja, else additional_chat_templates/, else tokenizer_config.json's
  // "chat_template", a text or a list of named ones ("default" unless `name` says otherwise).
  // `path` may also be a template alone.
  static Result<ChatTemplate> load(const std::string& path, const std::string& name = "");

  Result<std::string> render(const Conversation& conversation, int64_t date) const;
  const std::string& source() const { return source_; }

 private:
  ChatTemplate(JinjaTemplate body, std::string source, Json tokens)
      : body_(std::move(body)), source_(std::move(source)), tokens_(std::move(tokens)) {}
  JinjaTemplate body_;
  std::string source_;
  Json tokens_;  // bos_token, eos_token and their like
};

}  // namespace nibble
