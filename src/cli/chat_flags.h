// What run --chat, chat and template share.
#pragma once

#include <vector>

#include "cli/commands.h"
#include "jinja/chat_template.h"
#include "runtime/text_model.h"

namespace nibble {

// --date YYYY-MM-DD: the day that a template's strftime_now tells.
void add_date_option(CLI::App& app, std::string& date);
// Seconds since 1970 of that day's begin, of now where the text is empty.
Result<int64_t> parse_date(const std::string& text);

// The conversation as the template writes it, and its ids. The template brings all special tokens.
struct ChatPrompt {
  std::string text;
  std::vector<int32_t> ids;
};
Result<ChatPrompt> chat_prompt(const ChatTemplate& form, const Tokenizer& tokenizer,
                               const Conversation& conversation, int64_t date);
// The special token with which the template ends an answer ends the model's text, too.
void add_end_of_turn(const ChatTemplate& form, TextModel& model);

Json chat_message(const char* role, const std::string& content);

}  // namespace nibble
