#include "eval/evaluation.h"

namespace nibble {
namespace {

const std::string& name_of(const Decoder& model) { return model.weights().checkpoint().folder(); }

Status check_windows(const std::vector<Window>& windows, const Decoder& model) {
  int64_t vocab = model.config().vocab;
  for (const Window& w : windows) {
    if (static_cast<int64_t>(w.ids.size()) > model.context())
      return fail("{}: windows of {} tokens do not fit its context of {}; give a smaller --context",
                  name_of(model), w.ids.size(), model.context());
    for (int32_t id : w.ids)
      if (id < 0 || id >= vocab)
        return fail("{}: token id {} is outside the vocabulary of {}", name_of(model), id, vocab);
  }
  return {};
}

}  // namespace

Result<Evaluation> evaluate(Weights weights, std::optional<Weights> reference_weights,
                            const std::string& tokenizer_folder, const EvaluationOptions& o) {
  Decoder candidate = NB_TRY(Decoder::load(std::move(weights), o.activations, o.windows.context));
  std::optional<Decoder> reference;
  if (reference_weights)
    reference = NB_TRY(
        Decoder::load(std::move(*reference_weights), Activations::kFloat, o.windows.context));
  auto tokenizer = NB_TRY(load_tokenizer(tokenizer_folder));
  int32_t bos = tokenizer->bos.value_or(std::max(candidate.config().bos, 0));
  std::vector<Window> windows = NB_TRY(make_windows(*tokenizer, bos, o.text, o.windows));
  NB_OK(check_windows(windows, candidate));
  if (reference) {
    NB_OK(check_windows(windows, *reference));
    if (reference->config().vocab != candidate.config().vocab)
      return fail("{}: has {} tokens, {} has {}; they are not the same model", name_of(candidate),
                  candidate.config().vocab, name_of(*reference), reference->config().vocab);
  }
  TokenScores scores = score_windows(candidate, reference ? &*reference : nullptr, windows);
  Evaluation out;
  out.scores = summarize(scores);
  out.compared = reference.has_value();
  out.size = NB_TRY(measure_size(candidate.weights()));
  if (reference) out.size.parameters = NB_TRY(measure_size(reference->weights())).parameters;
  out.windows = windows.size();
  out.tokens = scores.nll.size();
  out.integer_linears = candidate.integer_linears();
  return out;
}

}  // namespace nibble
