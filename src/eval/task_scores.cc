#include "eval/task_scores.h"

#include <algorithm>
#include <random>

#include "base/threads.h"

namespace nibble {
namespace {

constexpr int64_t kResamples = 10'000;

// What each item adds to a metric: (items, width).
struct PartTable {
  std::vector<double> parts;
  size_t width = 0;
};

PartTable parts_of(const TaskMetric& metric, const Task& task, std::span<const Answer> answers) {
  PartTable out;
  for (size_t i = 0; i < answers.size(); ++i) {
    std::vector<double> parts = metric.parts(task.items[i], answers[i]);
    out.width = parts.size();
    out.parts.insert(out.parts.end(), parts.begin(), parts.end());
  }
  return out;
}

// The metric of these items; each may be named more than once.
template <class Items>
double value_of(const TaskMetric& metric, const PartTable& table, const Items& items) {
  std::vector<double> sums(table.width);
  for (size_t i : items)
    for (size_t j = 0; j < table.width; ++j) sums[j] += table.parts[i * table.width + j];
  return metric.value(sums, static_cast<double>(items.size()));
}

std::vector<size_t> all_items(size_t count) {
  std::vector<size_t> out(count);
  for (size_t i = 0; i < count; ++i) out[i] = i;
  return out;
}

// As many items as there are, with replacement; `number` picks the sample.
std::vector<size_t> resample(size_t count, int64_t number) {
  std::mt19937_64 random(static_cast<uint64_t>(number));
  std::vector<size_t> out(count);
  for (size_t& i : out)
    i = static_cast<size_t>((static_cast<unsigned __int128>(random()) * count) >> 64);
  return out;
}

Estimate estimate(double value, std::vector<double> samples) {
  std::sort(samples.begin(), samples.end());
  auto last = static_cast<double>(samples.size() - 1);
  return {value, samples[static_cast<size_t>(.025 * last)],
          samples[static_cast<size_t>(.975 * last)]};
}

// "nrefs:1|case:mixed|...", as sacreBLEU writes it.
std::string signature_of(const TaskMetric& metric, const Task& task) {
  if (*metric.signature == '\0') return "";
  size_t count = task.items[0].references.size();
  bool same = std::all_of(task.items.begin(), task.items.end(),
                          [&](const TaskItem& i) { return i.references.size() == count; });
  return fmt::format("nrefs:{}|{}", same ? fmt::format("{}", count) : "var", metric.signature);
}

MetricScore score_metric(const TaskMetric& metric, const Task& task,
                         std::span<const Answer> answers, std::span<const Answer> reference) {
  PartTable own = parts_of(metric, task, answers), other = parts_of(metric, task, reference);
  bool paired = !reference.empty();
  std::vector<double> values(kResamples), differences(paired ? kResamples : 0);
  parallel_for(kResamples, [&](int64_t n) {
    auto at = static_cast<size_t>(n);
    std::vector<size_t> items = resample(answers.size(), n);
    values[at] = value_of(metric, own, items);
    if (paired) differences[at] = values[at] - value_of(metric, other, items);
  });
  std::vector<size_t> all = all_items(answers.size());
  MetricScore out;
  out.name = metric.name;
  out.signature = signature_of(metric, task);
  out.own = estimate(value_of(metric, own, all), std::move(values));
  if (!paired) return out;
  out.reference = value_of(metric, other, all);
  out.difference = estimate(out.own.value - *out.reference, std::move(differences));
  return out;
}

Flips flips_of(const Task& task, std::span<const Answer> answers,
               std::span<const Answer> reference) {
  Flips out;
  for (size_t i = 0; i < answers.size(); ++i) {
    const Answer &now = answers[i], &before = reference[i];
    out.changed += task.kind->ask == Ask::kChoice ? likeliest(now) != likeliest(before)
                   : task.kind->ask == Ask::kWord ? now.greedy != before.greedy
                                                  : now.text != before.text;
    if (!task.kind->decides) continue;
    bool right = task.kind->decides->parts(task.items[i], now)[0] > 0;
    bool was_right = task.kind->decides->parts(task.items[i], before)[0] > 0;
    out.lost += was_right && !right;
    out.gained += right && !was_right;
  }
  return out;
}

}  // namespace

TaskScores score_task(const Task& task, std::span<const Answer> answers,
                      std::span<const Answer> reference) {
  TaskScores out;
  for (const TaskMetric* metric : task.kind->metrics)
    out.metrics.push_back(score_metric(*metric, task, answers, reference));
  if (!reference.empty()) out.flips = flips_of(task, answers, reference);
  return out;
}

}  // namespace nibble
