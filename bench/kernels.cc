// nibble_kernel_bench: matrix products against this machine's own limits, measured in the same run.
// Every repetition measures the limits and every row once, so that a change of the machine's pace
// falls on all of them; medians are printed.
#include "kernels/kernels.h"

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <functional>
#include <map>
#include <random>
#include <vector>

#include "CLI/CLI.hpp"
#include "base/threads.h"
#include "runtime/limits.h"
#include "runtime/spread.h"

namespace nibble {
namespace {

struct Options {
  int64_t n = 4096, k = 11008;  // 7B's down projection
  int matrices = 12;            // together far larger than the L3
  int repeats = 7;
  bool per_token = false;
  std::vector<int64_t> rows = {1, 512};
  std::vector<int> threads = {1, 2};
  std::vector<std::string> schemes = {"w4g32", "w4g128", "w4g128-asym", "w8", "w3g128", "w2g64"};
};

double seconds(const std::function<void()>& work) {
  auto start = std::chrono::steady_clock::now();
  work();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

struct Subject {
  std::string scheme;
  std::vector<std::unique_ptr<PackedMatrix>> weights;
};

Subject make_subject(const Options& o, const std::string& name) {
  Result<Scheme> scheme = Scheme::parse(name);
  if (!scheme || !has_integer_kernel(*scheme, o.k)) {
    fmt::print(stderr, "{}: no integer kernel for this scheme\n", name);
    std::exit(1);
  }
  std::mt19937 rng(0);
  QuantizedBuilder builder(*scheme, o.n, o.k);
  std::vector<uint8_t> codes(static_cast<size_t>(o.k));
  std::vector<Grid> grids(static_cast<size_t>(scheme->groups(o.k)),
                          {0.01f, scheme->symmetric_zero()});
  for (int64_t row = 0; row < o.n; ++row) {
    for (auto& c : codes)
      c = static_cast<uint8_t>(std::max<uint32_t>(rng() >> (32 - scheme->bits),
                                                  static_cast<uint32_t>(scheme->min_code())));
    builder.set_row(row, codes.data(), grids);
  }
  QuantizedMatrix w = builder.finish();
  Subject s{name, {}};
  for (int i = 0; i < o.matrices; ++i) s.weights.push_back(pack_matrix(w));
  return s;
}

// Seconds for one product of `rows` rows; few rows go through all matrices, so that each is read
// from memory.
double product_time(const Options& o, const Subject& s, int64_t rows, std::vector<float>& x,
                    std::vector<float>& y) {
  auto mode = o.per_token ? Activations::kInt8Token : Activations::kInt8Block32;
  auto quantized = quantize_rows(x.data(), rows, o.k, mode);
  size_t count = rows <= 64 ? s.weights.size() : 1;
  double t = seconds([&] {
    for (size_t i = 0; i < count; ++i)
      integer_matmul(*s.weights[i], *quantized, nullptr, y.data(), o.n);
  });
  return t / static_cast<double>(count);
}

using Times = std::map<std::string, std::vector<double>>;

void measure(const Options& o, const LimitMeter& limits, const std::vector<Subject>& subjects,
             int threads, Times& times) {
  std::vector<float> x(static_cast<size_t>(o.rows.back() * o.k)), y;
  y.resize(static_cast<size_t>(o.rows.back() * o.n));
  std::mt19937 rng(1);
  for (float& v : x) v = static_cast<float>(static_cast<int32_t>(rng())) * 0x1p-31f;
  set_threads(threads);
  Limits seen = limits.look();
  times[fmt::format("{} read", threads)].push_back(seen.read_bytes);
  times[fmt::format("{} peak", threads)].push_back(seen.macs);
  for (const Subject& s : subjects)
    for (int64_t rows : o.rows)
      times[fmt::format("{} {} {}", threads, s.scheme, rows)].push_back(
          product_time(o, s, rows, x, y));
}

void report(const Options& o, const std::vector<Subject>& subjects, int threads, Times& times) {
  double read = spread_of(times[fmt::format("{} read", threads)]).median * 1e-9;
  double peak = spread_of(times[fmt::format("{} peak", threads)]).median * 1e-9;
  fmt::print("\n{} thread{}: streaming read {:.1f} GB/s, multiply-accumulate peak {:.0f} GMAC/s\n",
             threads, threads == 1 ? "" : "s", read, peak);
  fmt::print("| scheme | rows | bits read | ms | GB/s | of read | GMAC/s | of peak |\n");
  fmt::print("|---|---|---|---|---|---|---|---|\n");
  for (const Subject& s : subjects)
    for (int64_t rows : o.rows) {
      double t = spread_of(times[fmt::format("{} {} {}", threads, s.scheme, rows)]).median;
      double bytes = static_cast<double>(s.weights[0]->bytes());
      double weights = static_cast<double>(o.n * o.k);
      double gbs = bytes / t * 1e-9, gmacs = weights * static_cast<double>(rows) / t * 1e-9;
      fmt::print("| {} | {} | {:.3f} | {:.3f} | {:.1f} | {:.2f} | {:.1f} | {} |\n", s.scheme, rows,
                 bytes * 8 / weights, t * 1e3, gbs, gbs / read, gmacs,
                 peak > 0 ? fmt::format("{:.2f}", gmacs / peak) : "-");
    }
}

Status run(Options o) {
  std::sort(o.rows.begin(), o.rows.end());
  for (const std::string& line : describe_kernel_tables()) fmt::print("{}\n", line);
  fmt::print("{} x {}, {} matrices, {} activations, median of {}\n", o.n, o.k, o.matrices,
             o.per_token ? "per-token" : "block-of-32", o.repeats);
  std::vector<Subject> subjects;
  for (const std::string& name : o.schemes) subjects.push_back(make_subject(o, name));
  LimitMeter limits = NB_TRY(LimitMeter::open());
  Times times;
  for (int r = 0; r < o.repeats; ++r)
    for (int threads : o.threads) measure(o, limits, subjects, threads, times);
  for (int threads : o.threads) report(o, subjects, threads, times);
  return {};
}

}  // namespace
}  // namespace nibble

int main(int argc, char** argv) {
  nibble::Options o;
  CLI::App app("Integer matrix products against this machine's limits");
  app.add_option("-n", o.n, "output rows of a matrix");
  app.add_option("-k", o.k, "columns of a matrix");
  app.add_option("--matrices", o.matrices, "distinct matrices")->check(CLI::PositiveNumber);
  app.add_option("--repeats", o.repeats, "interleaved repetitions")->check(CLI::PositiveNumber);
  app.add_option("--rows", o.rows, "activation rows")->delimiter(',');
  app.add_option("--threads", o.threads, "thread counts")->delimiter(',');
  app.add_option("--schemes", o.schemes, "schemes")->delimiter(',');
  app.add_flag("--per-token", o.per_token, "one activation scale a row");
  CLI11_PARSE(app, argc, argv);
  nibble::Result<std::string> table = nibble::kernel_table_name();
  nibble::Status done = table ? nibble::run(o) : std::unexpected(table.error());
  if (done) return 0;
  fmt::print(stderr, "{}\n", done.error().message);
  return 1;
}
