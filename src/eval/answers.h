// A model's answers to the items of a task.
#pragma once

#include "eval/answer_journal.h"
#include "runtime/text_model.h"

namespace nibble {

struct AnswerOptions {
  int64_t max_tokens = 256;   // of a written text
  std::string stop = "\n\n";  // ends it too
};

// One for each item. `name`: the model's in the journal, from which answers are taken and into
// which new ones go. A context that is too long loses its beginning.
Result<std::vector<Answer>> answer_task(const TextModel& model, const Task& task,
                                        const AnswerOptions& options, const std::string& name,
                                        AnswerJournal& journal);

}  // namespace nibble
