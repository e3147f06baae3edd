// {"text": ...}: the last word, behind all the others. LAMBADA (Paperno et al., arXiv 1606.06031).
#include "eval/tasks/fields.h"
#include "eval/tasks/task.h"

namespace nibble {
namespace {

Result<TaskItem> read(const Json& item, const std::string& what) {
  std::string text = NB_TRY(text_field(item, "text", what));
  size_t space = text.rfind(' ');
  TaskItem out;
  if (space != text.npos) out.context = text.substr(0, space);
  out.options = {text.substr(space == text.npos ? 0 : space + 1)};
  if (out.options[0].empty()) return fail("{}: the text ends with a space, not a word", what);
  return out;
}

}  // namespace

extern const TaskKind kTask_last_word = {
    .name = "last-word",
    .summary = "{text}: whether its last word is what the model would write; perplexity, acc",
    .ask = Ask::kWord,
    .field = "text",
    .metrics = {&kWordPerplexity, &kWordAccuracy},
    .decides = &kWordAccuracy,
    .read = read};

}  // namespace nibble
