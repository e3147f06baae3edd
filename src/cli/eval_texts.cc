#include "cli/eval_texts.h"

#include "base/file.h"
#include "cli/common.h"
#include "cli/eval_task.h"
#include "text/utf8.h"

namespace nibble {
namespace {

constexpr int64_t kLargestFile = int64_t{1} << 30;

Result<std::vector<std::string>> lines_of(const std::string& path) {
  std::string text = NB_TRY(read_file(path, kLargestFile));
  if (auto good = check_text(text); !good) return fail("{}: {}", path, good.error().message);
  std::vector<std::string> out;
  for (size_t at = 0; at < text.size();) {
    size_t end = std::min(text.find('\n', at), text.size());
    out.push_back(text.substr(at, end - at));
    if (out.back().ends_with('\r')) out.back().pop_back();
    at = end + 1;
  }
  if (out.empty()) return fail("{}: has no lines", path);
  return out;
}

}  // namespace

void add_texts_options(CLI::App& app, TextsFlags& f) {
  auto* texts = app.add_option("--bleu", f.hypotheses,
                               "BLEU and chrF of a file of texts, one a line; no model is run");
  auto* reference = app.add_option("--reference", f.references,
                                   "What they are held against, line by line; may be given several "
                                   "times")
                        ->allow_extra_args(false)
                        ->needs(texts)
                        ->type_name("FILE");
  texts->needs(reference)->type_name("FILE");
  app.add_option("--tok", f.words, "How BLEU cuts words: 13a or intl (default: 13a)")
      ->needs(texts)
      ->check(CLI::IsMember({"13a", "intl"}).description(""))
      ->type_name("NAME");
}

Result<int> score_texts(const TextsFlags& f, bool json) {
  TaskKind kind = {};
  kind.name = "texts";
  kind.ask = Ask::kText;
  kind.metrics = {f.words == "intl" ? &kBleuIntl : &kBleu13a, &kChrf};
  Task task;
  task.kind = &kind;
  std::vector<Answer> answers;
  for (std::string& line : NB_TRY(lines_of(f.hypotheses))) {
    answers.emplace_back().text = std::move(line);
    task.items.emplace_back();
  }
  for (const std::string& path : f.references) {
    std::vector<std::string> lines = NB_TRY(lines_of(path));
    if (lines.size() != answers.size())
      return fail("{}: {} lines, {} has {}", path, lines.size(), f.hypotheses, answers.size());
    for (size_t i = 0; i < lines.size(); ++i)
      task.items[i].references.push_back(std::move(lines[i]));
  }
  TaskScores scores = score_task(task, answers, {});
  if (json) {
    Json j = {{"texts", f.hypotheses}, {"references", f.references}, {"items", answers.size()}};
    j.update(scores_json(scores));
    put_json(j);
    return 0;
  }
  put_line("{}: {} segments", f.hypotheses, answers.size());
  print_scores(scores, task);
  return 0;
}

}  // namespace nibble
