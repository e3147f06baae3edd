#include "cli/bench_rows.h"

#include <sys/resource.h>

#include <algorithm>
#include <chrono>
#include <functional>

#include "base/heap.h"
#include "base/log.h"
#include "runtime/session.h"

namespace nibble {
namespace {

using Clock = std::chrono::steady_clock;

// Looks at the machine before and after a row, and in between every so often: its pace changes,
// and a long row must be held against the limits of its own time.
constexpr int kLooks = 3;
constexpr double kSecondsBetweenLooks = 2;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

int64_t page_faults_so_far() {
  rusage use;
  return ::getrusage(RUSAGE_SELF, &use) == 0 ? use.ru_minflt + use.ru_majflt : 0;
}

// Any ids do: time does not depend on which.
std::vector<int32_t> some_ids(int64_t count, int64_t vocab) {
  std::vector<int32_t> ids(static_cast<size_t>(count));
  for (size_t i = 0; i < ids.size(); ++i)
    ids[i] = static_cast<int32_t>((i * 7919 + 13) % static_cast<size_t>(vocab));
  return ids;
}

class Bench {
 public:
  Bench(const Decoder& decoder, const BenchPlan& plan, const LimitMeter& limits,
        EnergyMeter* energy)
      : decoder_(decoder), plan_(plan), limits_(limits), energy_(energy) {}

  BenchRow prompt() {
    BenchRow row;
    row.test = fmt::format("pp{}", plan_.prompt);
    row.tokens = plan_.prompt;
    row.passes = (plan_.prompt + kPrefillChunk - 1) / kPrefillChunk;
    KvCache cache = decoder_.make_cache(plan_.prompt, plan_.cache);
    std::vector<int32_t> ids = some_ids(plan_.prompt, decoder_.config().vocab);
    for (int64_t at = 0; at < plan_.prompt; at += kPrefillChunk) {
      int64_t count = std::min(plan_.prompt - at, kPrefillChunk);
      row.read_bytes += decoder_.read_bytes(count) + cache_bytes(cache, at, count);
    }
    row.macs = plan_.prompt * block_macs() + row.passes * head_macs();
    time(row, [&] { prefill(decoder_, ids, cache, 0, flow_, logits_); });
    return row;
  }

  BenchRow decode(int64_t batch, int64_t depth) {
    BenchRow row;
    row.test = fmt::format("tg{}", plan_.tokens);
    if (batch > 1) row.test += fmt::format(" x{}", batch);
    if (depth > 0) row.test += fmt::format(" @{}", depth);
    row.batch = batch;
    row.depth = depth;
    row.tokens = plan_.tokens * batch;
    row.passes = plan_.tokens;
    std::vector<KvCache> caches = filled(row.test, batch, depth);
    row.read_bytes = row.passes * decoder_.read_bytes(batch);
    for (int64_t t = 0; t < plan_.tokens; ++t)
      row.read_bytes += batch * cache_bytes(caches[0], depth + t, 1);
    row.macs = row.tokens * (block_macs() + head_macs());
    std::vector<int32_t> ids = some_ids(batch, decoder_.config().vocab);
    std::vector<Slice> slices;
    for (KvCache& cache : caches) slices.push_back({&cache, 0, 1});
    time(row, [&] {
      for (int64_t t = 0; t < plan_.tokens; ++t) {
        for (Slice& s : slices) s.position = depth + t;
        decoder_.forward(ids, slices, Decoder::Rows::kLast, flow_, logits_);
      }
    });
    return row;
  }

 private:
  std::vector<KvCache> filled(const std::string& test, int64_t batch, int64_t depth) {
    std::vector<int32_t> ids = some_ids(depth, decoder_.config().vocab);
    Progress progress(test + ": filling the cache", batch);
    std::vector<KvCache> caches;
    for (int64_t b = 0; b < batch; ++b) {
      caches.push_back(decoder_.make_cache(depth + plan_.tokens, plan_.cache));
      prefill(decoder_, ids, caches.back(), 0, flow_, logits_);
      progress.step(b + 1);
    }
    return caches;
  }

  // Keys and values that a pass over `count` tokens of a sequence reads.
  int64_t cache_bytes(const KvCache& cache, int64_t position, int64_t count) const {
    int64_t bytes = 0;
    for (const LayerConfig& layer : decoder_.config().blocks)
      bytes += cache.position_bytes() * attended(position, count, layer.window).positions;
    return bytes;
  }

  // Products of one token with the weights of the blocks, and of one row with the head's.
  int64_t block_macs() const {
    int64_t macs = 0;
    for (int64_t layer = 0; layer < decoder_.config().layers; ++layer)
      for (const LinearSpec& spec : block_linears(decoder_.config(), layer))
        if (spec.expert < decoder_.config().experts_per_token) macs += spec.n * spec.k;
    return macs;
  }
  int64_t head_macs() const { return decoder_.config().vocab * decoder_.config().embedding_width; }

  void look(BenchRow& row, int times) {
    for (int i = 0; i < times; ++i) row.limits.push_back(limits_.look());
    looked_ = Clock::now();
  }

  void time(BenchRow& row, const std::function<void()>& work) {
    Progress progress(row.test, plan_.warmup + plan_.runs);
    for (int64_t i = 0; i < plan_.warmup; ++i) {
      work();
      progress.step(i + 1);
    }
    look(row, kLooks);
    if (energy_) row.joules = 0;
    if (plan_.profile) profile_start();
    row.seconds.reserve(static_cast<size_t>(plan_.runs));  // not within what is measured
    for (int64_t i = 0; i < plan_.runs; ++i) {
      if (seconds_since(looked_) > kSecondsBetweenLooks) look(row, 1);
      double joules = energy_ ? energy_->joules() : 0;
      int64_t faults = page_faults_so_far(), allocations = allocations_so_far();
      auto start = Clock::now();
      work();
      row.seconds.push_back(seconds_since(start));
      row.allocations += allocations_so_far() - allocations;
      row.page_faults += page_faults_so_far() - faults;
      if (energy_) *row.joules += energy_->joules() - joules;
      progress.step(plan_.warmup + i + 1);
    }
    if (plan_.profile) row.operators = profile_take();
    look(row, kLooks);
  }

  const Decoder& decoder_;
  const BenchPlan& plan_;
  const LimitMeter& limits_;
  EnergyMeter* energy_;
  Flow flow_;  // kept from pass to pass, as one who writes text keeps it
  std::vector<float> logits_;
  Clock::time_point looked_;
};

double share(double amount, double seconds, double limit) {
  return limit > 0 ? amount / seconds / limit : 0;
}

}  // namespace

Spread read_limit(const std::vector<Limits>& looks) {
  std::vector<double> rates;
  for (const Limits& l : looks) rates.push_back(l.read_bytes);
  return spread_of(rates);
}

Spread mac_limit(const std::vector<Limits>& looks) {
  std::vector<double> rates;
  for (const Limits& l : looks) rates.push_back(l.macs);
  return spread_of(rates);
}

Spread token_rate(const BenchRow& row) {
  std::vector<double> rates;
  for (double s : row.seconds) rates.push_back(static_cast<double>(row.tokens) / s);
  return spread_of(rates);
}

double read_share(const BenchRow& row) {
  return share(static_cast<double>(row.read_bytes), spread_of(row.seconds).median,
               read_limit(row.limits).median);
}

double mac_share(const BenchRow& row) {
  return share(static_cast<double>(row.macs), spread_of(row.seconds).median,
               mac_limit(row.limits).median);
}

std::vector<BenchRow> measure_rows(const Decoder& decoder, const BenchPlan& plan,
                                   const LimitMeter& limits, EnergyMeter* energy) {
  Bench bench(decoder, plan, limits, energy);
  std::vector<BenchRow> rows;
  if (plan.prompt > 0) rows.push_back(bench.prompt());
  if (plan.tokens == 0) return rows;
  for (int64_t depth : plan.depths)
    for (int64_t batch : plan.batches) rows.push_back(bench.decode(batch, depth));
  return rows;
}

}  // namespace nibble
