#include "cli/bench_tables.h"

#include <algorithm>

#include "cli/common.h"

namespace nibble {
namespace {

std::vector<Limits> all_limits(const std::vector<BenchRow>& rows) {
  std::vector<Limits> all;
  for (const BenchRow& r : rows) all.insert(all.end(), r.limits.begin(), r.limits.end());
  return all;
}

Json spread_json(const Spread& s) {
  if (s.median == 0) return nullptr;
  return {{"median", s.median}, {"min", s.min}, {"q1", s.q1}, {"q3", s.q3}, {"max", s.max}};
}

Json known(double value) { return value > 0 ? Json(value) : Json(nullptr); }

double runs_of(const BenchRow& row) { return static_cast<double>(row.seconds.size()); }

// An operator beside the limits of its row's time.
struct Roofline {
  double seconds, share;         // all calls of all runs; of the row's time
  double bytes_rate, macs_rate;  // a second
  double read_share, mac_share;  // of the limits, 0 where unknown
  const char* bound;             // which limit it would meet first: "memory", "compute" or "-"
};

Roofline roofline(const OperatorProfile& o, const BenchRow& row) {
  double total = 0;
  for (double s : row.seconds) total += s;
  double read = read_limit(row.limits).median, macs = mac_limit(row.limits).median;
  Roofline r{o.seconds,
             o.seconds / total,
             static_cast<double>(o.bytes) / o.seconds,
             static_cast<double>(o.macs) / o.seconds,
             0,
             0,
             "-"};
  if (read > 0) r.read_share = r.bytes_rate / read;
  if (macs > 0) r.mac_share = r.macs_rate / macs;
  if (read > 0 && macs > 0 && o.bytes + o.macs > 0)
    r.bound = r.read_share >= r.mac_share ? "memory" : "compute";
  return r;
}

// What no operator's timer covers.
OperatorProfile rest_of(const BenchRow& row) {
  OperatorProfile rest{"the rest"};
  for (double s : row.seconds) rest.seconds += s;
  for (const OperatorProfile& o : row.operators) rest.seconds -= o.seconds;
  return rest;
}

Json operator_json(const OperatorProfile& o, const BenchRow& row) {
  Roofline r = roofline(o, row);
  return {{"operator", o.name},
          {"calls", o.calls},
          {"seconds", o.seconds},
          {"time_share", r.share},
          {"bytes", o.bytes},
          {"macs", o.macs},
          {"bandwidth_share", known(r.read_share)},
          {"mac_share", known(r.mac_share)},
          {"bound", r.bound}};
}

// Where the time goes and what would change that, in a sentence. An operator counts as bound by a
// limit where it comes to half of it.
std::string bottleneck(const BenchRow& row) {
  double reads = 0, multiplies = 0;
  for (const OperatorProfile& o : row.operators) {
    Roofline r = roofline(o, row);
    if (std::max(r.read_share, r.mac_share) < .5) continue;
    (r.read_share >= r.mac_share ? reads : multiplies) += r.share;
  }
  double rest = std::max(0., 1 - reads - multiplies);
  if (reads >= std::max(multiplies, rest))
    return fmt::format(
        "{:.0f} % of the time reads weights or cache as fast as memory gives: fewer bits help, "
        "more threads do not",
        100 * reads);
  if (multiplies >= rest)
    return fmt::format(
        "{:.0f} % of the time multiplies near the cores' peak: more or faster cores help, fewer "
        "bits do not",
        100 * multiplies);
  return fmt::format(
      "{:.0f} % of the time is bound by neither memory nor arithmetic, but by small steps and "
      "waiting between threads: a batch helps, and where the model is this small, fewer threads "
      "may",
      100 * rest);
}

Json row_json(const BenchRow& row) {
  Spread rate = token_rate(row);
  Json j = {{"test", row.test},
            {"batch", row.batch},
            {"depth", row.depth},
            {"tokens", row.tokens},
            {"tokens_per_second", rate.median},
            {"tokens_per_second_min", rate.min},
            {"tokens_per_second_q1", rate.q1},
            {"tokens_per_second_q3", rate.q3},
            {"tokens_per_second_max", rate.max},
            {"ms_per_token", 1e3 / rate.median},
            {"seconds", row.seconds},
            {"page_faults", row.page_faults},
            {"allocations", row.allocations},
            {"read_bytes", row.read_bytes},
            {"macs", row.macs},
            {"read_bytes_per_second",
             static_cast<double>(row.read_bytes) * rate.median / static_cast<double>(row.tokens)},
            {"macs_per_second",
             static_cast<double>(row.macs) * rate.median / static_cast<double>(row.tokens)},
            {"read_limit_bytes_per_second", spread_json(read_limit(row.limits))},
            {"mac_limit_per_second", spread_json(mac_limit(row.limits))},
            {"bandwidth_share", known(read_share(row))},
            {"mac_share", known(mac_share(row))}};
  j["joules_per_token"] = row.joules
                              ? Json(*row.joules / runs_of(row) / static_cast<double>(row.tokens))
                              : Json(nullptr);
  if (row.operators.empty()) return j;
  j["bottleneck"] = bottleneck(row);
  j["operators"] = Json::array();
  for (const OperatorProfile& o : row.operators) j["operators"].push_back(operator_json(o, row));
  j["operators"].push_back(operator_json(rest_of(row), row));
  return j;
}

std::string percent(double share) {
  return share > 0 ? fmt::format("{:.1f}", 100 * share) : std::string("-");
}

std::string limit_text(const Spread& s, const char* unit) {
  if (s.median == 0) return "unknown";
  return fmt::format("{:.1f} {} ({:.1f}..{:.1f})", s.median / 1e9, unit, s.min / 1e9, s.max / 1e9);
}

void put_rows(const std::vector<BenchRow>& rows) {
  put_line(
      "| test | tokens/s | quartiles | min..max | ms/token | MB read/token | GMAC/token | % of "
      "read "
      "| % of MACs | J/token |");
  put_line("|---|---|---|---|---|---|---|---|---|---|");
  for (const BenchRow& row : rows) {
    Spread rate = token_rate(row);
    auto tokens = static_cast<double>(row.tokens);
    put_line(
        "| {} | {:.2f} | {:.2f}..{:.2f} | {:.2f}..{:.2f} | {:.3f} | {:.2f} | {:.3f} | {} | {} "
        "| {} |",
        row.test, rate.median, rate.q1, rate.q3, rate.min, rate.max, 1e3 / rate.median,
        static_cast<double>(row.read_bytes) / tokens / 1e6,
        static_cast<double>(row.macs) / tokens / 1e9, percent(read_share(row)),
        percent(mac_share(row)),
        row.joules ? fmt::format("{:.3f}", *row.joules / runs_of(row) / tokens) : "-");
  }
}

void put_operators(const BenchRow& row) {
  put_line("\n{}, for each of {} forward pass{} of a run:\n", row.test, row.passes,
           row.passes == 1 ? "" : "es");
  put_line(
      "| operator | calls | ms | % of time | GB/s | GMAC/s | % of read | % of MACs | bound by |");
  put_line("|---|---|---|---|---|---|---|---|---|");
  double passes = static_cast<double>(row.passes) * runs_of(row);
  auto put_one = [&](const OperatorProfile& o) {
    Roofline r = roofline(o, row);
    auto rate = [](int64_t amount, double per_second) {
      return amount > 0 ? fmt::format("{:.1f}", per_second / 1e9) : std::string("-");
    };
    put_line("| {} | {} | {:.3f} | {:.1f} | {} | {} | {} | {} | {} |", o.name,
             o.calls > 0 ? fmt::format("{:g}", static_cast<double>(o.calls) / passes) : "-",
             1e3 * o.seconds / passes, 100 * r.share, rate(o.bytes, r.bytes_rate),
             rate(o.macs, r.macs_rate), percent(r.read_share), percent(r.mac_share), r.bound);
  };
  for (const OperatorProfile& o : row.operators) put_one(o);
  put_one(rest_of(row));
  put_line("\n{}.", bottleneck(row));
}

}  // namespace

Json bench_json(const BenchHead& head, const BenchPlan& plan, const std::vector<BenchRow>& rows) {
  std::vector<Limits> looks = all_limits(rows);
  Json j = {{"model", head.model},
            {"cpu", head.cpu},
            {"threads", head.threads},
            {"pinned", head.pinned},
            {"activations", head.activations},
            {"kernels", head.kernels},
            {"arithmetic", head.arithmetic},
            {"cache", cache_name(plan.cache)},
            {"load_seconds", head.load_seconds},
            {"first_token_seconds", head.first_token_seconds},
            {"resident_anonymous_bytes", head.memory.anonymous},
            {"resident_file_bytes", head.memory.file},
            {"read_bytes_per_token", head.read_bytes},
            {"read_bandwidth_bytes_per_second", read_limit(looks).median},
            {"read_limit_bytes_per_second", spread_json(read_limit(looks))},
            {"mac_limit_per_second", spread_json(mac_limit(looks))},
            {"warmup", plan.warmup},
            {"runs", plan.runs}};
  j["energy_meter"] = head.meter.empty() ? Json(nullptr) : Json(head.meter);
  j["tests"] = Json::array();
  for (const BenchRow& row : rows) j["tests"].push_back(row_json(row));
  return j;
}

void put_bench(const BenchHead& head, const BenchPlan& plan, const std::vector<BenchRow>& rows) {
  std::vector<Limits> looks = all_limits(rows);
  put_line("{}; {} thread{}{}; {}; {} cache", head.cpu, head.threads, head.threads == 1 ? "" : "s",
           head.pinned ? ", pinned" : "", head.arithmetic, cache_name(plan.cache));
  put_line("load {:.3f} s, first token {:.3f} s after it; resident then: {} anonymous, {} of files",
           head.load_seconds, head.first_token_seconds, bytes_text(head.memory.anonymous),
           bytes_text(head.memory.file));
  put_line("limits of this run: read {}, multiply-accumulate {}",
           limit_text(read_limit(looks), "GB/s"), limit_text(mac_limit(looks), "GMAC/s"));
  put_line("energy: {}", head.meter.empty() ? "no meter" : head.meter);
  put_line("{} of weights read for a pass; {} warm-up runs, median of {}\n",
           bytes_text(head.read_bytes), plan.warmup, plan.runs);
  put_rows(rows);
  for (const BenchRow& row : rows)
    if (!row.operators.empty()) put_operators(row);
}

}  // namespace nibble
