#include "eval/continuations.h"

#include <algorithm>

#include "base/threads.h"
#include "eval/compare.h"
#include "text/python_text.h"

namespace nibble {
namespace {

std::optional<int32_t> prefix_id(const Tokenizer& t) { return t.bos ? t.bos : t.eos; }

// One predicted id: where its logits lie, and whose it is.
struct Prediction {
  int64_t row;
  int32_t id;
  size_t continuation;
};

// The continuations that share a context, which their cache holds.
struct Shared {
  size_t first, count;
  KvCache cache;
};

class Scorer {
 public:
  Scorer(const Decoder& model, std::span<const Continuation> all)
      : model_(model), all_(all), out_(all.size()) {
    for (size_t i = 0; i < all.size();) {
      size_t end = i, longest = 0;
      for (; end < all.size() && all[end].context == all[i].context; ++end)
        longest = std::max(longest, all[end].ids.size());
      auto capacity = static_cast<int64_t>(all[i].context.size() + longest - 1);
      shared_.push_back({i, end - i, model.make_cache(std::max<int64_t>(capacity, 1))});
      i = end;
    }
  }

  std::vector<Likelihood> run() {
    read_contexts();
    size_t most = 0;
    for (const Shared& s : shared_) most = std::max(most, s.count);
    for (size_t nth = 0; nth < most; ++nth) read_continuations(nth);
    return std::move(out_);
  }

 private:
  void read_contexts() {
    for (Shared& s : shared_) {
      feed(s, 0, all_[s.first].context);
      for (size_t i = s.first; i < s.first + s.count; ++i)
        predictions_.push_back({static_cast<int64_t>(slices_.size()) - 1, all_[i].ids[0], i});
    }
    forward(Decoder::Rows::kLast);
  }

  // The nth of each context: it takes the place of the one before in the cache.
  void read_continuations(size_t nth) {
    for (Shared& s : shared_) {
      if (nth >= s.count) continue;
      std::span ids(all_[s.first + nth].ids);
      if (ids.size() == 1) continue;
      auto row = static_cast<int64_t>(ids_.size());
      feed(s, static_cast<int64_t>(all_[s.first].context.size()), ids.first(ids.size() - 1));
      for (int32_t id : ids.subspan(1)) predictions_.push_back({row++, id, s.first + nth});
    }
    if (!slices_.empty()) forward(Decoder::Rows::kAll);
  }

  void feed(Shared& s, int64_t position, std::span<const int32_t> ids) {
    slices_.push_back({&s.cache, position, static_cast<int64_t>(ids.size())});
    ids_.insert(ids_.end(), ids.begin(), ids.end());
  }

  void forward(Decoder::Rows rows) {
    model_.forward(ids_, slices_, rows, logits_);
    int64_t vocab = model_.config().vocab;
    std::vector<Likelihood> each(predictions_.size());
    parallel_for(static_cast<int64_t>(each.size()), [&](int64_t i) {
      const Prediction& p = predictions_[static_cast<size_t>(i)];
      const float* row = logits_.data() + p.row * vocab;
      each[static_cast<size_t>(i)] = {row[p.id] - log_normalizer(row, vocab),
                                      std::max_element(row, row + vocab) - row == p.id};
    });
    for (size_t i = 0; i < each.size(); ++i) {
      Likelihood& sum = out_[predictions_[i].continuation];
      sum.log += each[i].log;
      sum.greedy = sum.greedy && each[i].greedy;
    }
    ids_.clear();
    slices_.clear();
    predictions_.clear();
  }

  const Decoder& model_;
  std::span<const Continuation> all_;
  std::vector<Likelihood> out_;
  std::vector<Shared> shared_;
  std::vector<int32_t> ids_;
  std::vector<Slice> slices_;
  std::vector<Prediction> predictions_;
  std::vector<float> logits_;
};

}  // namespace

Result<std::vector<int32_t>> encode_context(const Tokenizer& tokenizer, std::string_view text) {
  auto prefix = prefix_id(tokenizer);
  std::string begin = prefix ? tokenizer.piece(*prefix) : "";
  return tokenizer.encode(text, /*add_special=*/begin.empty() || !text.starts_with(begin));
}

Result<Continuation> split_continuation(const Tokenizer& tokenizer, std::string_view context,
                                        std::string_view continuation) {
  std::string_view bare = python_rstrip(context);
  Continuation out;
  std::string whole = std::string(context) + std::string(continuation);
  if (!bare.empty()) {
    out.context = NB_TRY(encode_context(tokenizer, bare));
    std::vector<int32_t> ids = NB_TRY(encode_context(tokenizer, whole));
    if (ids.size() > out.context.size())
      out.ids.assign(ids.begin() + static_cast<std::ptrdiff_t>(out.context.size()), ids.end());
  } else {
    auto prefix = prefix_id(tokenizer);
    if (!prefix)
      return fail("the context is empty, and the tokenizer has no token that begins a text");
    out.context = {*prefix};
    out.ids = NB_TRY(tokenizer.encode(whole, /*add_special=*/false));
    if (out.ids.size() > 1 && out.ids[0] == *prefix) out.ids.erase(out.ids.begin());
  }
  if (out.ids.empty() || out.context.empty())
    return fail("{} adds no token to its context", in_quotes(continuation));
  return out;
}

Status fit_continuation(const Decoder& model, Continuation& c) {
  for (const std::vector<int32_t>* part : {&c.context, &c.ids})
    for (int32_t id : *part)
      if (id < 0 || id >= model.config().vocab)
        return fail("token id {} is outside the vocabulary of {}", id, model.config().vocab);
  // The last id is predicted and not read.
  auto room = static_cast<size_t>(model.context() + 1);
  if (c.ids.size() >= room)
    return fail("{} tokens do not fit in the context of {}", c.ids.size(), model.context());
  if (size_t all = c.context.size() + c.ids.size(); all > room)
    c.context.erase(c.context.begin(), c.context.begin() + static_cast<std::ptrdiff_t>(all - room));
  return {};
}

std::vector<Likelihood> score_continuations(const Decoder& model,
                                            std::span<const Continuation> continuations) {
  return Scorer(model, continuations).run();
}

}  // namespace nibble
