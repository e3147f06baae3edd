#include "eval/answers.h"

#include <algorithm>

#include "base/log.h"
#include "eval/continuations.h"
#include "runtime/session.h"

namespace nibble {
namespace {

// Contexts read at once, and logits held at once: 64 M floats.
constexpr size_t kBatchTokens = 2048, kLogitBudget = size_t{1} << 26;

std::unexpected<Error> at_item(const Task& task, size_t item, const Error& error) {
  return fail("item {} of the task ({}): {}", item, task.kind->name, error.message);
}

// What an item asks the model: one continuation for each option.
Result<std::vector<Continuation>> continuations_of(const TextModel& model, const Task& task,
                                                   size_t item) {
  const Tokenizer& tokenizer = *NB_TRY(model.need_tokenizer());
  const TaskItem& from = task.items[item];
  std::vector<Continuation> out;
  for (const std::string& option : from.options) {
    auto one = split_continuation(tokenizer, from.context, " " + option);
    if (!one) return at_item(task, item, one.error());
    if (auto fits = fit_continuation(model.decoder, *one); !fits)
      return at_item(task, item, fits.error());
    out.push_back(std::move(*one));
  }
  return out;
}

// Items whose continuations are scored together. Bounds depend on the items alone, so that a run
// that goes on repeats the sums of one that was not stopped.
class Batch {
 public:
  explicit Batch(const TextModel& model)
      : vocab_(static_cast<size_t>(model.decoder.config().vocab)) {}

  bool takes(const std::vector<Continuation>& item) const {
    auto [tokens, rows] = cost_of(item);
    return all_.empty() ||
           (tokens_ + tokens <= kBatchTokens && (rows_ + rows) * vocab_ <= kLogitBudget);
  }
  void add(std::vector<Continuation> item) {
    auto [tokens, rows] = cost_of(item);
    tokens_ += tokens;
    rows_ += rows;
    std::move(item.begin(), item.end(), std::back_inserter(all_));
    ++items_;
  }
  size_t items() const { return items_; }
  std::span<const Continuation> continuations() const { return all_; }
  void clear() {
    all_.clear();
    tokens_ = rows_ = items_ = 0;
  }

 private:
  static std::pair<size_t, size_t> cost_of(const std::vector<Continuation>& item) {
    size_t longest = 0;
    for (const Continuation& c : item) longest = std::max(longest, c.ids.size());
    return {item[0].context.size(), longest};
  }
  size_t vocab_, tokens_ = 0, rows_ = 0, items_ = 0;
  std::vector<Continuation> all_;
};

class Run {
 public:
  Run(const TextModel& model, const Task& task, const std::string& name, AnswerJournal& journal)
      : model_(model), task_(task), name_(name), journal_(journal), batch_(model) {}

  Result<std::vector<Answer>> all(const AnswerOptions& options) {
    answers_ = NB_TRY(journal_.answers(name_, task_));
    NB_OK(task_.kind->ask == Ask::kText ? write_texts(options) : score_options());
    NB_OK(journal_.write());
    std::vector<Answer> out;
    for (auto& answer : answers_) out.push_back(std::move(*answer));
    return out;
  }

 private:
  Status score_options() {
    for (size_t i = 0; i < task_.items.size(); ++i) {
      auto item = NB_TRY(continuations_of(model_, task_, i));
      if (!batch_.takes(item)) NB_OK(score_batch(i));
      batch_.add(std::move(item));
    }
    return score_batch(task_.items.size());
  }

  // The items before `end`.
  Status score_batch(size_t end) {
    size_t begin = end - batch_.items();
    auto own = std::span(answers_).subspan(begin, batch_.items());
    if (std::any_of(own.begin(), own.end(), [](const auto& a) { return !a; })) {
      std::vector<Likelihood> scores = score_continuations(model_.decoder, batch_.continuations());
      auto score = scores.begin();
      for (size_t i = begin; i < end; ++i) {
        Answer answer;
        for (size_t n = 0; n < task_.items[i].options.size(); ++n, ++score) {
          answer.log_likelihoods.push_back(score->log);
          answer.greedy.push_back(score->greedy);
        }
        NB_OK(keep(i, std::move(answer)));
      }
    }
    progress_.step(static_cast<int64_t>(end));
    batch_.clear();
    return {};
  }

  Status write_texts(const AnswerOptions& o) {
    const Tokenizer& tokenizer = *NB_TRY(model_.need_tokenizer());
    GenerationOptions g;
    g.max_tokens = o.max_tokens;
    g.sampling.temperature = 0;
    if (!o.stop.empty()) g.stop = {o.stop};
    int64_t room = model_.decoder.context() - o.max_tokens;
    if (room < 1)
      return fail("{} new tokens leave no room in the context of {}; give a smaller --max-tokens",
                  o.max_tokens, model_.decoder.context());
    for (size_t i = 0; i < task_.items.size(); ++i) {
      if (!answers_[i]) {
        auto ids = encode_context(tokenizer, task_.items[i].context);
        if (!ids) return at_item(task_, i, ids.error());
        std::span prompt(*ids);
        auto text =
            generate(model_, prompt.last(std::min(prompt.size(), static_cast<size_t>(room))), g);
        if (!text) return at_item(task_, i, text.error());
        NB_OK(keep(i, {.log_likelihoods = {}, .greedy = {}, .text = std::move(text->text)}));
      }
      progress_.step(static_cast<int64_t>(i) + 1);
    }
    return {};
  }

  Status keep(size_t item, Answer answer) {
    answers_[item] = std::move(answer);
    return journal_.keep(name_, item, *answers_[item]);
  }

  const TextModel& model_;
  const Task& task_;
  const std::string& name_;
  AnswerJournal& journal_;
  Batch batch_;
  std::vector<std::optional<Answer>> answers_;
  Progress progress_{"item", static_cast<int64_t>(task_.items.size())};
};

}  // namespace

Result<std::vector<Answer>> answer_task(const TextModel& model, const Task& task,
                                        const AnswerOptions& options, const std::string& name,
                                        AnswerJournal& journal) {
  return Run(model, task, name, journal).all(options);
}

}  // namespace nibble
