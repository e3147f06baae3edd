// nibble_kernel_bench: matrix products against this machine's own limits, measured in the same run.
// Every repetition measures the limits and every row once, so that a change of the machine's pace
// falls on all of them; medians are printed.
#include "kernels/kernels.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdlib>
#include <functional>
#include <map>
#include <random>
#include <vector>

#include "CLI/CLI.hpp"
#include "base/threads.h"
#include "kernels/registry.h"
#if defined(__x86_64__)
#include <immintrin.h>
#endif

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

// Bytes a second that all threads together read once from memory.
double read_bandwidth() {
  constexpr int64_t kWords = 1 << 26, kChunk = 1 << 17;  // 512 MB by the megabyte
  static const std::vector<uint64_t> words(kWords, 1);
  std::vector<uint64_t> sums(kWords / kChunk);
  double t = seconds([&] {
    parallel_for(kWords / kChunk, [&](int64_t c) {
      uint64_t lanes[16] = {};
      for (int64_t i = c * kChunk; i < (c + 1) * kChunk; i += 16)
        for (int j = 0; j < 16; ++j) lanes[j] += words[static_cast<size_t>(i + j)];
      for (uint64_t lane : lanes) sums[static_cast<size_t>(c)] += lane;
    });
  });
  if (sums[0] != kChunk) std::abort();
  return kWords * 8 / t;
}

#if defined(__x86_64__)
// vpmaddubsw + vpaddw on registers: what int4 products on AVX2 could reach at most.
__attribute__((target("avx2"))) int64_t multiply_registers(int64_t rounds) {
  __m256i a = _mm256_set1_epi8(3), b = _mm256_set1_epi8(2), s[8];
  for (auto& v : s) v = _mm256_setzero_si256();
  for (int64_t r = 0; r < rounds; ++r) {
#pragma GCC unroll 8
    for (auto& v : s) {
      __asm__ volatile("" : "+x"(a));  // a new product each time
      v = _mm256_add_epi16(v, _mm256_maddubs_epi16(a, b));
    }
  }
  for (int i = 1; i < 8; ++i) s[0] = _mm256_add_epi16(s[0], s[i]);
  return _mm256_extract_epi16(s[0], 0);
}

// Multiply-accumulates a second.
double mac_peak() {
  constexpr int64_t kRounds = 1 << 19, kChunks = 16;
  std::vector<int64_t> sums(kChunks);
  double t = seconds([&] {
    parallel_for(kChunks,
                 [&](int64_t c) { sums[static_cast<size_t>(c)] = multiply_registers(kRounds); });
  });
  return kRounds * kChunks * 8 * 32 / t;
}
#else
double mac_peak() { return std::nan(""); }
#endif

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

double median(std::vector<double> v) {
  std::nth_element(v.begin(), v.begin() + static_cast<long>(v.size() / 2), v.end());
  return v[v.size() / 2];
}

using Times = std::map<std::string, std::vector<double>>;

void measure(const Options& o, const std::vector<Subject>& subjects, int threads, Times& times) {
  std::vector<float> x(static_cast<size_t>(o.rows.back() * o.k)), y;
  y.resize(static_cast<size_t>(o.rows.back() * o.n));
  std::mt19937 rng(1);
  for (float& v : x) v = static_cast<float>(static_cast<int32_t>(rng())) * 0x1p-31f;
  set_threads(threads);
  times[fmt::format("{} read", threads)].push_back(read_bandwidth());
  times[fmt::format("{} peak", threads)].push_back(mac_peak());
  for (const Subject& s : subjects)
    for (int64_t rows : o.rows)
      times[fmt::format("{} {} {}", threads, s.scheme, rows)].push_back(
          product_time(o, s, rows, x, y));
}

void report(const Options& o, const std::vector<Subject>& subjects, int threads, Times& times) {
  double read = median(times[fmt::format("{} read", threads)]) * 1e-9;
  double peak = median(times[fmt::format("{} peak", threads)]) * 1e-9;
  fmt::print("\n{} thread{}: streaming read {:.1f} GB/s, vpmaddubsw peak {:.0f} GMAC/s\n", threads,
             threads == 1 ? "" : "s", read, peak);
  fmt::print("| scheme | rows | bits read | ms | GB/s | of read | GMAC/s | of peak |\n");
  fmt::print("|---|---|---|---|---|---|---|---|\n");
  for (const Subject& s : subjects)
    for (int64_t rows : o.rows) {
      double t = median(times[fmt::format("{} {} {}", threads, s.scheme, rows)]);
      double bytes = static_cast<double>(s.weights[0]->bytes());
      double weights = static_cast<double>(o.n * o.k);
      double gbs = bytes / t * 1e-9, gmacs = weights * static_cast<double>(rows) / t * 1e-9;
      fmt::print("| {} | {} | {:.3f} | {:.3f} | {:.1f} | {:.2f} | {:.1f} | {:.2f} |\n", s.scheme,
                 rows, bytes * 8 / weights, t * 1e3, gbs, gbs / read, gmacs, gmacs / peak);
    }
}

void run(Options o) {
  std::sort(o.rows.begin(), o.rows.end());
  for (const std::string& line : describe_kernel_tables()) fmt::print("{}\n", line);
  fmt::print("{} x {}, {} matrices, {} activations, median of {}\n", o.n, o.k, o.matrices,
             o.per_token ? "per-token" : "block-of-32", o.repeats);
  std::vector<Subject> subjects;
  for (const std::string& name : o.schemes) subjects.push_back(make_subject(o, name));
  Times times;
  for (int r = 0; r < o.repeats; ++r)
    for (int threads : o.threads) measure(o, subjects, threads, times);
  for (int threads : o.threads) report(o, subjects, threads, times);
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
  if (auto table = nibble::kernel_table_name(); !table) {
    fmt::print(stderr, "{}\n", table.error().message);
    return 1;
  }
  nibble::run(o);
}
