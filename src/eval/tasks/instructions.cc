// {"instruction": "... Answer format: true/false", "answer": "true"}: the lists of LLM-Adapters
// (Hu et al., arXiv 2304.01933). The options are words of one form, so there is no acc_norm.
#include <algorithm>

#include "eval/tasks/fields.h"
#include "eval/tasks/task.h"
#include "text/python_text.h"

namespace nibble {
namespace {

constexpr std::string_view kMark = "Answer format:";

Result<TaskItem> read(const Json& item, const std::string& what) {
  TaskItem out;
  out.context = NB_TRY(text_field(item, "instruction", what));
  std::string answer = NB_TRY(text_field(item, "answer", what));
  size_t at = out.context.rfind(kMark);
  if (at == out.context.npos)
    return fail("{}: the instruction names no options behind \"{}\"", what, kMark);
  std::string_view words = python_strip(std::string_view(out.context).substr(at + kMark.size()));
  for (size_t begin = 0; begin <= words.size();) {
    size_t end = std::min(words.find('/', begin), words.size());
    out.options.emplace_back(words.substr(begin, end - begin));
    begin = end + 1;
  }
  auto right = std::find(out.options.begin(), out.options.end(), answer);
  if (right == out.options.end())
    return fail("{}: the answer {} is none of the options", what, in_quotes(answer));
  out.label = right - out.options.begin();
  if (std::string input = NB_TRY(get_string(item, "input", "", what)); !input.empty())
    out.context += "\n" + input;
  return out;
}

}  // namespace

extern const TaskKind kTask_instructions = {
    .name = "instructions",
    .summary = "{instruction, answer}: the options are the words after \"Answer format:\"; acc",
    .ask = Ask::kChoice,
    .field = "instruction",
    .metrics = {&kChoiceAccuracy},
    .decides = &kChoiceAccuracy,
    .read = read};

}  // namespace nibble
