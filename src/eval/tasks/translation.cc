// {"context": ..., "reference": ...}: a translation or a summary, held against one reference or a
// list of them.
#include "eval/tasks/fields.h"
#include "eval/tasks/task.h"

namespace nibble {
namespace {

Result<TaskItem> read(const Json& item, const std::string& what) {
  return TaskItem{.context = NB_TRY(text_field(item, "context", what)),
                  .options = {},
                  .references = NB_TRY(texts_field(item, "reference", what))};
}

}  // namespace

extern const TaskKind kTask_translation = {
    .name = "translation",
    .summary = "{context, reference}: what the model writes; BLEU, chrF",
    .ask = Ask::kText,
    .field = "reference",
    .metrics = {&kBleu13a, &kChrf},
    .decides = nullptr,
    .read = read};

}  // namespace nibble
