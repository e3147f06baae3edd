// A task: items that a model answers, and what makes an answer right. One file a kind here, one
// line in tasks.inc. Prompts and measures are those of lm-evaluation-harness, so that figures
// compare item by item.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "base/json.h"
#include "base/result.h"

namespace nibble {

// What a model is asked of an item.
enum class Ask : uint8_t {
  kChoice,  // the log-likelihood of each option behind the context and a space
  kWord,    // that of the one option, and whether the model would write it itself
  kText,    // to go on from the context, greedily
};

struct TaskItem {
  std::string context;
  std::vector<std::string> options;     // kChoice: two or more; kWord: one
  int64_t label = -1;                   // kChoice: the right one; -1: none was given
  std::vector<std::string> references;  // kText: one or more
};

struct Answer {
  std::vector<double> log_likelihoods;  // of each option, nats
  std::vector<uint8_t> greedy;          // 1 where each of its tokens was the likeliest one
  std::string text;                     // kText
  bool operator==(const Answer&) const = default;
};
// The first of the likeliest options.
int64_t likeliest(const Answer& answer);

// A figure that is a function of sums over the items, so that resampled items cost no more than
// sums.
struct TaskMetric {
  const char* name;
  std::vector<double> (*parts)(const TaskItem& item, const Answer& answer);
  double (*value)(std::span<const double> sums, double items);
  const char* signature = "";  // sacreBLEU's, behind the number of references
};
extern const TaskMetric kChoiceAccuracy, kChoiceAccuracyByBytes, kWordAccuracy, kWordPerplexity,
    kExactMatch, kBleu13a, kBleuIntl, kChrf;

struct TaskKind {
  const char* name;
  const char* summary;
  Ask ask;
  const char* field;  // that items of this kind have and those of the other kinds do not
  std::vector<const TaskMetric*> metrics;
  // The one of them whose part is 1 for a right answer and 0 for a wrong one; null: there is none.
  const TaskMetric* decides;
  // `item` is an object; `what` names it in errors.
  Result<TaskItem> (*read)(const Json& item, const std::string& what);
};
std::span<const TaskKind* const> task_kinds();

struct TaskOptions {
  std::string file;    // JSONL, or JSON with a list of items
  std::string labels;  // a file of one label a line for the items that have none, or empty
  std::string kind;    // empty: the one whose field the first item has
  int64_t limit = 0;   // items; 0: all
};

struct Task {
  const TaskKind* kind = nullptr;
  std::vector<TaskItem> items;
  std::string digest;  // of the files and the kind: XXH3, 128 bit, hex
};

// At least one item, each complete: labels within the options, no option empty.
Result<Task> read_task(const TaskOptions& options);

}  // namespace nibble
