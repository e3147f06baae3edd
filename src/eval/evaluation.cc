#include "eval/evaluation.h"

namespace nibble {
namespace {

const std::string& name_of(const Decoder& model) { return model.weights().checkpoint().folder(); }

// Of a model that holds so many tokens of so many kinds.
Status check_windows(const std::vector<Window>& windows, const std::string& name, int64_t context,
                     int64_t vocab) {
  for (const Window& w : windows) {
    if (static_cast<int64_t>(w.ids.size()) > context)
      return fail("{}: windows of {} tokens do not fit its context of {}; give a smaller --context",
                  name, w.ids.size(), context);
    for (int32_t id : w.ids)
      if (id < 0 || id >= vocab)
        return fail("{}: token id {} is outside the vocabulary of {}", name, id, vocab);
  }
  return {};
}

Result<std::optional<Decoder>> load_reference(std::optional<Weights> weights, int64_t context) {
  if (!weights) return std::nullopt;
  return NB_TRY(Decoder::load(std::move(*weights), Activations::kFloat, context));
}

// Windows for a candidate of this config, which goes by `name` and holds `context` tokens.
Result<std::vector<Window>> windows_for(const std::string& name, int64_t context,
                                        const DecoderConfig& config, const Decoder* reference,
                                        const Tokenizer& tokenizer, const std::string& text,
                                        const WindowOptions& options) {
  int32_t bos = tokenizer.bos.value_or(std::max(config.bos, 0));
  std::vector<Window> windows = NB_TRY(make_windows(tokenizer, bos, text, options));
  NB_OK(check_windows(windows, name, context, config.vocab));
  if (!reference) return windows;
  const DecoderConfig& other = reference->config();
  NB_OK(check_windows(windows, name_of(*reference), reference->context(), other.vocab));
  if (other.vocab != config.vocab)
    return fail("{}: has {} tokens, {} has {}; they are not the same model", name, config.vocab,
                name_of(*reference), other.vocab);
  return windows;
}

// All but sizes.
Evaluation figures_of(const Decoder* reference, const std::vector<Window>& windows,
                      const TokenScores& scores) {
  Evaluation out;
  out.scores = summarize(scores);
  out.compared = reference != nullptr;
  out.windows = windows.size();
  out.tokens = scores.nll.size();
  return out;
}

}  // namespace

Result<std::vector<Window>> held_out_windows(const Decoder& candidate, const Decoder* reference,
                                             const Tokenizer& tokenizer, const std::string& text,
                                             const WindowOptions& options) {
  return windows_for(name_of(candidate), candidate.context(), candidate.config(), reference,
                     tokenizer, text, options);
}

Result<Evaluation> evaluation_of(const Decoder& candidate, const Decoder* reference,
                                 const std::vector<Window>& windows, const TokenScores& scores) {
  Evaluation out = figures_of(reference, windows, scores);
  out.size = NB_TRY(measure_size(candidate.weights()));
  if (reference) {
    SizeReport whole = NB_TRY(measure_size(reference->weights()));
    out.size.parameters = whole.parameters;
    out.reference_bytes = whole.file_bytes;
  }
  out.linears = candidate.arithmetic();
  return out;
}

Result<Evaluation> evaluate(Weights weights, std::optional<Weights> reference_weights,
                            const std::string& tokenizer_folder, const EvaluationOptions& o) {
  Decoder candidate = NB_TRY(Decoder::load(std::move(weights), o.activations, o.windows.context));
  std::optional<Decoder> float_model =
      NB_TRY(load_reference(std::move(reference_weights), o.windows.context));
  const Decoder* reference = float_model ? &*float_model : nullptr;
  auto tokenizer = NB_TRY(load_tokenizer(tokenizer_folder));
  std::vector<Window> windows =
      NB_TRY(held_out_windows(candidate, reference, *tokenizer, o.text, o.windows));
  return evaluation_of(candidate, reference, windows, score_windows(candidate, reference, windows));
}

Result<Evaluation> evaluate_foreign(const ForeignLogits& candidate, const DecoderConfig& config,
                                    std::optional<Weights> reference_weights,
                                    const std::string& tokenizer_folder,
                                    const EvaluationOptions& o) {
  std::optional<Decoder> float_model =
      NB_TRY(load_reference(std::move(reference_weights), o.windows.context));
  const Decoder* reference = float_model ? &*float_model : nullptr;
  auto tokenizer = NB_TRY(load_tokenizer(tokenizer_folder));
  std::vector<Window> windows = NB_TRY(windows_for(tokenizer_folder, config.context, config,
                                                   reference, *tokenizer, o.text, o.windows));
  NB_OK(candidate.start(windows));
  return figures_of(reference, windows,
                    NB_TRY(score_logits(candidate.logits, config.vocab, reference, windows)));
}

}  // namespace nibble
