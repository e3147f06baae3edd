// {"context": ..., "options": [...], "label": 0}
#include "eval/tasks/fields.h"
#include "eval/tasks/task.h"

namespace nibble {
namespace {

Result<TaskItem> read(const Json& item, const std::string& what) {
  return TaskItem{.context = NB_TRY(text_field(item, "context", what)),
                  .options = NB_TRY(texts_field(item, "options", what)),
                  .label = NB_TRY(label_field(item, what)),
                  .references = {}};
}

}  // namespace

extern const TaskKind kTask_choice = {
    .name = "choice",
    .summary = "{context, options, label}: the likeliest option; acc, acc_norm",
    .ask = Ask::kChoice,
    .field = "options",
    .metrics = {&kChoiceAccuracy, &kChoiceAccuracyByBytes},
    .decides = &kChoiceAccuracy,
    .read = read};

}  // namespace nibble
