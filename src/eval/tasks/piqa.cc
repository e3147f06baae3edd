// {"goal": ..., "sol1": ..., "sol2": ...} with the labels in a file of their own, or as "label":
// PIQA (Bisk et al., arXiv 1911.11641) in its original form.
#include "eval/tasks/fields.h"
#include "eval/tasks/task.h"

namespace nibble {
namespace {

Result<TaskItem> read(const Json& item, const std::string& what) {
  std::string goal = NB_TRY(text_field(item, "goal", what));
  return TaskItem{
      .context = "Question: " + goal + "\nAnswer:",
      .options = {NB_TRY(text_field(item, "sol1", what)), NB_TRY(text_field(item, "sol2", what))},
      .label = NB_TRY(label_field(item, what)),
      .references = {}};
}

}  // namespace

extern const TaskKind kTask_piqa = {.name = "piqa",
                                    .summary = "{goal, sol1, sol2}, --labels; acc, acc_norm",
                                    .ask = Ask::kChoice,
                                    .field = "sol1",
                                    .metrics = {&kChoiceAccuracy, &kChoiceAccuracyByBytes},
                                    .decides = &kChoiceAccuracy,
                                    .read = read};

}  // namespace nibble
