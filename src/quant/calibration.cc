#include "quant/calibration.h"

#include <xxhash.h>

#include <algorithm>
#include <cmath>

#include "base/file.h"
#include "base/log.h"
#include "model/decoder.h"
#include "quant/python_random.h"

namespace nibble {
namespace {

std::string hash_of(const CalibrationSet& set) {
  XXH3_state_t* state = XXH3_createState();
  XXH3_64bits_reset(state);
  for (const auto& w : set.windows) XXH3_64bits_update(state, w.data(), w.size() * sizeof w[0]);
  uint64_t digest = XXH3_64bits_digest(state);
  XXH3_freeState(state);
  return fmt::format("xxh3-{:016x}", digest);
}

// An id drawn from softmax(logits) by one uniform number in [0, 1).
int32_t draw(std::span<const float> logits, double uniform) {
  float top = *std::max_element(logits.begin(), logits.end());
  double total = 0;
  for (float l : logits) total += std::exp(static_cast<double>(l - top));
  double left = uniform * total;
  for (size_t i = 0; i < logits.size(); ++i)
    if ((left -= std::exp(static_cast<double>(logits[i] - top))) < 0)
      return static_cast<int32_t>(i);
  return static_cast<int32_t>(logits.size() - 1);
}

// Windows that are written side by side: their caches are what this takes of memory.
constexpr size_t kWritten = 64;

// Writes on from each window's first token to `length`; `batch` counts from 0.
void write_windows(const Decoder& decoder, int64_t length, std::span<std::vector<int32_t>> windows,
                   PythonRandom& random, Progress& progress, int64_t batch) {
  std::vector<KvCache> caches;
  for (size_t i = 0; i < windows.size(); ++i) caches.push_back(decoder.make_cache(length));
  std::vector<float> logits;
  auto vocab = static_cast<size_t>(decoder.config().vocab);
  for (int64_t t = 0; t + 1 < length; ++t) {
    std::vector<int32_t> last;
    std::vector<Slice> slices;
    for (size_t i = 0; i < windows.size(); ++i) {
      last.push_back(windows[i].back());
      slices.push_back({&caches[i], t, 1});
    }
    decoder.forward(last, slices, Decoder::Rows::kAll, logits);
    for (size_t i = 0; i < windows.size(); ++i)
      windows[i].push_back(draw(std::span(logits).subspan(i * vocab, vocab), random.uniform()));
    progress.step(batch * (length - 1) + t + 1);
  }
}

}  // namespace

int64_t CalibrationSet::tokens() const {
  int64_t n = 0;
  for (const auto& w : windows) n += static_cast<int64_t>(w.size());
  return n;
}

Result<CalibrationSet> windows_of_text(const Tokenizer& tokenizer, int32_t bos,
                                       const CalibrationOptions& options) {
  std::string text = NB_TRY(read_file(options.text));
  auto ids = tokenizer.encode(text, false);
  if (!ids) return fail("{}: {}", options.text, ids.error().message);
  if (ids->empty()) return fail("{}: the calibration text is empty", options.text);
  CalibrationSet set;
  auto total = static_cast<int64_t>(ids->size()), body = options.length - 1;
  int64_t count = total <= body ? 1 : options.windows;
  if (total <= body)
    warn("{}: {} tokens, shorter than one window of {}: calibrating on one window", options.text,
         total, options.length);
  body = std::min(body, total);
  PythonRandom random(options.seed);
  for (int64_t i = 0; i < count; ++i) {
    int64_t start =
        total > body
            ? random.below(static_cast<uint32_t>(std::min<int64_t>(total - body, INT32_MAX)))
            : 0;
    std::vector<int32_t> w = {bos};
    w.insert(w.end(), ids->begin() + start, ids->begin() + start + body);
    set.windows.push_back(std::move(w));
  }
  set.source =
      fmt::format("{} windows of {} tokens, random starts, seed {}", count, body + 1, options.seed);
  set.hash = hash_of(set);
  return set;
}

Result<CalibrationSet> windows_of_model(const Decoder& decoder, int32_t bos,
                                        const CalibrationOptions& options) {
  if (options.length > decoder.context())
    return fail("calibration windows of {} tokens do not fit the model's context of {}",
                options.length, decoder.context());
  CalibrationSet set;
  auto count = static_cast<size_t>(options.windows);
  set.windows.assign(count, {bos});
  PythonRandom random(options.seed);
  size_t batches = (count + kWritten - 1) / kWritten;
  Progress progress("writing calibration text",
                    static_cast<int64_t>(batches) * (options.length - 1));
  for (size_t at = 0; at < count; at += kWritten)
    write_windows(decoder, options.length,
                  std::span(set.windows).subspan(at, std::min(kWritten, count - at)), random,
                  progress, static_cast<int64_t>(at / kWritten));
  set.source = fmt::format("{} windows of {} tokens written by the model itself, seed {}",
                           options.windows, options.length, options.seed);
  set.hash = hash_of(set);
  return set;
}

// Asked for a tokenizer, the folder's own rules decide what begins a text; then config.json.
Result<CalibrationSet> calibration_windows(const std::string& model, const Weights& weights,
                                           const CalibrationOptions& asked) {
  if (asked.windows < 1 || asked.windows > 1'000'000 || asked.length < 2 ||
      asked.length > 1'000'000)
    return usage("calibration takes 1 to 1,000,000 windows of 2 to 1,000,000 tokens");
  const DecoderConfig& c = weights.config();
  CalibrationOptions options = asked;
  if (c.position_offset >= 0 && options.length > c.context) {
    warn("{}: calibrating on windows of {} tokens, which is all that the model has positions for",
         model, c.context);
    options.length = c.context;
  }
  int32_t bos = std::max(c.bos, 0);
  CalibrationSet set;
  if (options.text.empty()) {
    Decoder decoder = NB_TRY(Decoder::load(weights, Activations::kFloat));
    set = NB_TRY(windows_of_model(decoder, bos, options));
  } else {
    auto tokenizer = NB_TRY(load_tokenizer(model));
    if (tokenizer->bos) bos = *tokenizer->bos;
    set = NB_TRY(windows_of_text(*tokenizer, bos, options));
  }
  for (const auto& w : set.windows)
    for (int32_t id : w)
      if (id < 0 || id >= c.vocab)
        return fail("{}: the tokenizer gives id {}, the model has {} embeddings", model, id,
                    c.vocab);
  // The rule of thumb of quality.md 2: below four tokens a column, damping decides more than data.
  int64_t widest = std::max({c.hidden, c.mlp, c.q_dim()});
  if (!options.few_suffice && set.tokens() < 4 * widest)
    warn("{} calibration tokens are few for the widest layer's {} inputs; give at least {}",
         set.tokens(), widest, 4 * widest);
  return set;
}

}  // namespace nibble
