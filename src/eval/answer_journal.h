// A task's answers on disk, so that a stopped run goes on and a float model's serve many others.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <vector>

#include "eval/tasks/task.h"

namespace nibble {

class AnswerJournal {
 public:
  // `path`: a JSON file, which need not be there; empty: nothing is kept. `task` is all that the
  // answers depend on but for the model; a file of another task is refused.
  static Result<AnswerJournal> open(const std::string& path, const Json& task);

  // What is kept of this model's, one for each item; nothing for those that are missing.
  Result<std::vector<std::optional<Answer>>> answers(const std::string& model,
                                                     const Task& task) const;
  // The file is written anew at once and then every few seconds at most, whole each time.
  Status keep(const std::string& model, size_t item, const Answer& answer);
  Status write();

 private:
  AnswerJournal() = default;
  std::string path_;
  Json content_;
  std::chrono::steady_clock::time_point written_{};
};

}  // namespace nibble
