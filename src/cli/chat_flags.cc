#include "cli/chat_flags.h"

#include <time.h>

#include <algorithm>

#include "base/json.h"

namespace nibble {

void add_date_option(CLI::App& app, std::string& date) {
  app.add_option("--date", date, "The day that the template is told (default: today)")
      ->type_name("YYYY-MM-DD");
}

Result<int64_t> parse_date(const std::string& text) {
  if (text.empty()) return static_cast<int64_t>(time(nullptr));
  tm day{};
  const char* end = text.size() == 10 ? strptime(text.c_str(), "%Y-%m-%d", &day) : nullptr;
  tm exact = day;
  exact.tm_isdst = -1;
  time_t seconds = mktime(&exact);
  // mktime turns 30 February into a day of March.
  if (!end || *end || seconds == -1 || exact.tm_mday != day.tm_mday)
    return usage("--date takes a day as 2024-07-26, not {}", in_quotes(text));
  return static_cast<int64_t>(seconds);
}

Result<ChatPrompt> chat_prompt(const ChatTemplate& form, const Tokenizer& tokenizer,
                               const Conversation& conversation, int64_t date) {
  ChatPrompt out;
  out.text = NB_TRY(form.render(conversation, date));
  out.ids = NB_TRY(tokenizer.encode(out.text, /*add_special=*/false));
  return out;
}

void add_end_of_turn(const ChatTemplate& form, TextModel& model) {
  if (!model.tokenizer) return;
  static constexpr const char* kAnswer = "Fine, thank you.";
  Conversation sample;
  sample.messages = {chat_message("user", "How are you?"), chat_message("assistant", kAnswer)};
  auto text = form.render(sample, 0);
  size_t at = text ? text->rfind(kAnswer) : std::string::npos;
  if (at == std::string::npos) return;  // then the model's own end-of-text ids must do
  auto ids = model.tokenizer->encode(text->substr(at + std::string_view(kAnswer).size()), false);
  if (!ids || ids->empty() || !model.tokenizer->is_special(ids->front())) return;
  if (std::find(model.eos.begin(), model.eos.end(), ids->front()) == model.eos.end())
    model.eos.push_back(ids->front());
}

Json chat_message(const char* role, const std::string& content) {
  Json message = Json::object();
  message["role"] = role;
  message["content"] = content;
  return message;
}

}  // namespace nibble
