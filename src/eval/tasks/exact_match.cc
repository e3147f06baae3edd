// {"context": ..., "target": ...}: the model writes on; white space around both is left out.
#include "eval/tasks/fields.h"
#include "eval/tasks/task.h"

namespace nibble {
namespace {

Result<TaskItem> read(const Json& item, const std::string& what) {
  return TaskItem{.context = NB_TRY(text_field(item, "context", what)),
                  .options = {},
                  .references = NB_TRY(texts_field(item, "target", what))};
}

}  // namespace

extern const TaskKind kTask_exact_match = {
    .name = "exact-match",
    .summary = "{context, target}: whether the model writes the target; exact_match",
    .ask = Ask::kText,
    .field = "target",
    .metrics = {&kExactMatch},
    .decides = &kExactMatch,
    .read = read};

}  // namespace nibble
