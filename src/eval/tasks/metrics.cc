#include <cmath>

#include "eval/bleu.h"
#include "eval/chrf.h"
#include "eval/tasks/task.h"
#include "text/python_text.h"

namespace nibble {
namespace {

using Parts = std::vector<double>;

double mean(std::span<const double> sums, double items) { return sums[0] / items; }

Parts choice_is_right(const TaskItem& item, const Answer& a) {
  return {likeliest(a) == item.label ? 1. : 0.};
}

// The likeliest by byte of the option's text, the space before it not counted.
Parts choice_by_bytes_is_right(const TaskItem& item, const Answer& a) {
  Answer by_bytes = a;
  for (size_t i = 0; i < item.options.size(); ++i)
    by_bytes.log_likelihoods[i] /= static_cast<double>(item.options[i].size());
  return choice_is_right(item, by_bytes);
}

Parts word_is_right(const TaskItem&, const Answer& a) { return {a.greedy[0] ? 1. : 0.}; }

Parts surprise(const TaskItem&, const Answer& a) { return {-a.log_likelihoods[0]}; }
double perplexity(std::span<const double> sums, double items) { return std::exp(sums[0] / items); }

Parts is_exact(const TaskItem& item, const Answer& a) {
  for (const std::string& reference : item.references)
    if (python_strip(a.text) == python_strip(reference)) return {1};
  return {0};
}

template <BleuWords kWords>
Parts bleu_of(const TaskItem& item, const Answer& a) {
  return bleu_parts(a.text, item.references, kWords);
}
double bleu(std::span<const double> sums, double) { return bleu_score(sums); }

Parts chrf_of(const TaskItem& item, const Answer& a) { return chrf_parts(a.text, item.references); }
double chrf(std::span<const double> sums, double) { return chrf_score(sums); }

}  // namespace

const TaskMetric kChoiceAccuracy = {"acc", choice_is_right, mean},
                 kChoiceAccuracyByBytes = {"acc_norm", choice_by_bytes_is_right, mean},
                 kWordAccuracy = {"acc", word_is_right, mean},
                 kWordPerplexity = {"perplexity", surprise, perplexity},
                 kExactMatch = {"exact_match", is_exact, mean},
                 kBleu13a = {"bleu", bleu_of<BleuWords::k13a>, bleu,
                             "case:mixed|eff:no|tok:13a|smooth:exp|version:2.6.0"},
                 kBleuIntl = {"bleu", bleu_of<BleuWords::kIntl>, bleu,
                              "case:mixed|eff:no|tok:intl|smooth:exp|version:2.6.0"},
                 kChrf = {"chrf", chrf_of, chrf,
                          "case:mixed|eff:yes|nc:6|nw:0|space:no|version:2.6.0"};

}  // namespace nibble
