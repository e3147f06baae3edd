#include "runtime/session.h"

#include <algorithm>
#include <chrono>

#include "runtime/stop_filter.h"

namespace nibble {
namespace {

class Clock {
 public:
  double seconds() const {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count();
  }

 private:
  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
};

// The way from tokens to shown text.
class TextOut {
 public:
  TextOut(const Tokenizer* tokenizer, std::vector<std::string> stops, const TextSink& sink)
      : tokenizer_(tokenizer), filter_(std::move(stops)), sink_(sink) {
    if (tokenizer_) decoder_.emplace(*tokenizer_);
  }
  // Begins where the prompt ended, so that the first new token decodes as one inside a text.
  Status begin(std::span<const int32_t> prompt) {
    if (!decoder_) return {};
    constexpr size_t kEnough = 8;  // more than the tokens of any one character
    for (int32_t id : prompt.last(std::min(prompt.size(), kEnough)))
      if (id < tokenizer_->vocab_size()) NB_TRY(decoder_->push(id));
    StreamDecoder probe = *decoder_;
    pending_ = NB_TRY(probe.finish());
    return {};
  }
  Status push(int32_t id) {
    // A vocabulary padded beyond the tokenizer's has ids without text.
    if (decoder_ && id < tokenizer_->vocab_size()) settle(NB_TRY(decoder_->push(id)));
    return {};
  }
  Status finish() {
    if (!decoder_) return {};
    settle(NB_TRY(decoder_->finish()));
    show(filter_.finish());
    return {};
  }
  bool stopped() const { return filter_.stopped(); }
  std::string take() { return std::move(text_); }

 private:
  // The end of the prompt that its decoder had not handed out comes first, and is not new text.
  void settle(std::string text) {
    if (text.empty()) return;
    if (text.starts_with(pending_)) text.erase(0, pending_.size());
    pending_.clear();
    show(filter_.push(text));
  }
  void show(std::string_view piece) {
    text_ += piece;
    if (sink_ && !piece.empty()) sink_(piece);
  }
  const Tokenizer* tokenizer_;
  std::optional<StreamDecoder> decoder_;
  StopFilter filter_;
  const TextSink& sink_;
  std::string pending_, text_;
};

// Makes room in the past for a sequence that begins with `prompt` -> how many of its ids are known.
size_t take_up(const TextModel& model, std::span<const int32_t> prompt, int64_t capacity,
               KvType type, Past& past) {
  if (!past.cache || past.cache->capacity() != capacity || past.cache->type() != type) {
    past.cache.emplace(model.decoder.make_cache(capacity, type));
    past.ids.clear();
  }
  auto differs = std::mismatch(past.ids.begin(), past.ids.end(), prompt.begin(), prompt.end());
  // The last id is fed in any case: its logits are wanted.
  size_t known = std::min(static_cast<size_t>(differs.first - past.ids.begin()), prompt.size() - 1);
  past.ids.resize(known);
  return known;
}

Status check_request(const TextModel& model, std::span<const int32_t> prompt,
                     const GenerationOptions& options) {
  int64_t vocab = model.decoder.config().vocab, context = model.decoder.context();
  if (prompt.empty()) return fail("the prompt is empty and the model has no begin-of-text token");
  for (int32_t id : prompt)
    if (id < 0 || id >= vocab)
      return fail("prompt token {} is outside the model's vocabulary of {}", id, vocab);
  if (static_cast<int64_t>(prompt.size()) >= context)
    return fail(
        "the prompt has {} tokens and leaves no room in the context of {}; shorten it or "
        "raise -c",
        prompt.size(), context);
  if (!options.stop.empty()) NB_TRY(model.need_tokenizer());
  return check_options(options);
}

}  // namespace

Status check_options(const GenerationOptions& options) {
  if (options.max_tokens < 0) return usage("cannot write {} tokens", options.max_tokens);
  for (const std::string& stop : options.stop)
    if (stop.empty()) return usage("a stop string is empty");
  return check_sampling(options.sampling);
}

const char* finish_name(Finish finish) {
  switch (finish) {
    case Finish::kEos:
      return "eos";
    case Finish::kStop:
      return "stop";
    case Finish::kLength:
      return "length";
    case Finish::kContext:
      return "context";
    case Finish::kInterrupted:
      return "interrupted";
  }
  return "";
}

void prefill(const Decoder& decoder, std::span<const int32_t> ids, KvCache& cache, int64_t position,
             Flow& flow, std::vector<float>& logits) {
  auto total = static_cast<int64_t>(ids.size());
  for (int64_t at = 0; at < total; at += kPrefillChunk) {
    int64_t count = std::min(kPrefillChunk, total - at);
    Slice slice{&cache, position + at, count};
    decoder.forward(ids.subspan(static_cast<size_t>(at), static_cast<size_t>(count)), {&slice, 1},
                    Decoder::Rows::kLast, flow, logits);
  }
}

Result<Generation> generate(const TextModel& model, std::span<const int32_t> prompt,
                            const GenerationOptions& options, const TextSink& sink, Past* past) {
  NB_OK(check_request(model, prompt, options));
  Clock clock;
  Generation out;
  auto room = model.decoder.context() - static_cast<int64_t>(prompt.size());
  int64_t budget = std::min(options.max_tokens, room);
  auto position = static_cast<int64_t>(prompt.size());
  // Sequences beyond the short context rotate otherwise from their first token on: a text that
  // begins within it is read anew when it grows out of it.
  int64_t all = past ? model.decoder.context() : position + budget;
  int64_t limit = model.decoder.config().short_context();
  int64_t capacity = position <= limit ? std::min(all, limit) : all;
  Past once;
  Past& known = past ? *past : once;
  auto interrupted = [&] { return options.interrupt && options.interrupt->load(); };
  std::vector<float> logits;
  std::optional<Flow> flow(std::in_place);
  for (size_t at = take_up(model, prompt, capacity, options.cache, known); at < prompt.size();) {
    if (interrupted()) {
      out.finish = Finish::kInterrupted;
      return out;
    }
    auto chunk = prompt.subspan(at, std::min<size_t>(kPrefillChunk, prompt.size() - at));
    prefill(model.decoder, chunk, *known.cache, static_cast<int64_t>(at), *flow, logits);
    known.ids.insert(known.ids.end(), chunk.begin(), chunk.end());
    at += chunk.size();
  }
  out.prefill_seconds = clock.seconds();

  TextOut text(model.tokenizer.get(), options.stop, sink);
  NB_OK(text.begin(prompt));
  Sampler sampler(options.sampling);
  flow.emplace();  // a step needs far less than the prompt did
  std::vector<int32_t> history(prompt.begin(), prompt.end());
  out.finish = options.max_tokens > room ? Finish::kContext : Finish::kLength;
  for (int64_t n = 0; n < budget; ++n) {
    if (interrupted()) {
      out.finish = Finish::kInterrupted;
      break;
    }
    int32_t id = NB_TRY(sampler.next(logits, history));
    out.ids.push_back(id);
    history.push_back(id);
    if (n == 0) out.first_token_seconds = clock.seconds();
    if (!options.ignore_eos &&
        std::find(model.eos.begin(), model.eos.end(), id) != model.eos.end()) {
      out.finish = Finish::kEos;
      break;
    }
    NB_OK(text.push(id));
    if (text.stopped()) {
      out.finish = Finish::kStop;
      break;
    }
    if (n + 1 == budget) break;
    known.ids.push_back(id);
    if (position == known.cache->capacity()) {
      known.cache.emplace(model.decoder.make_cache(all, options.cache));
      prefill(model.decoder, history, *known.cache, 0, *flow, logits);
      ++position;
      continue;
    }
    Slice slice{&*known.cache, position++, 1};
    model.decoder.forward({&id, 1}, {&slice, 1}, Decoder::Rows::kLast, *flow, logits);
  }
  NB_OK(text.finish());
  if (text.stopped()) out.finish = Finish::kStop;
  out.decode_seconds = clock.seconds() - out.prefill_seconds;
  out.text = text.take();
  return out;
}

}  // namespace nibble
