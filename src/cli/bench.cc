#include <algorithm>
#include <chrono>

#include "base/file.h"
#include "base/log.h"
#include "base/threads.h"
#include "cli/common.h"
#include "cli/help.h"
#include "cli/machine.h"
#include "model/decoder.h"
#include "runtime/bandwidth.h"

namespace nibble {
namespace {

struct BenchOptions {
  std::string model;
  int64_t prompt = 512, tokens = 128, warmup = 5, runs = 30;
  bool json = false;
  Activations activations = Activations::kInt8Block32;
};

// Tokens a second of one kind of work, over the runs.
struct Row {
  std::string test;
  double median, least, most;
  double share;  // of the measured memory bandwidth; 0 where reading weights is not the limit
};

double seconds_of(const std::function<void()>& work) {
  auto start = std::chrono::steady_clock::now();
  work();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

Row measure(std::string test, int64_t tokens, const BenchOptions& o,
            const std::function<void()>& work) {
  Progress progress(test, o.warmup + o.runs);
  std::vector<double> rates;
  for (int64_t i = 0; i < o.warmup + o.runs; ++i) {
    double seconds = seconds_of(work);
    if (i >= o.warmup) rates.push_back(static_cast<double>(tokens) / seconds);
    progress.step(i + 1);
  }
  std::sort(rates.begin(), rates.end());
  size_t half = rates.size() / 2;
  double median = rates.size() % 2 ? rates[half] : (rates[half - 1] + rates[half]) / 2;
  return {std::move(test), median, rates.front(), rates.back(), 0};
}

// Any ids do: time does not depend on which.
std::vector<int32_t> some_ids(int64_t count, int64_t vocab) {
  std::vector<int32_t> ids(static_cast<size_t>(count));
  for (size_t i = 0; i < ids.size(); ++i)
    ids[i] = static_cast<int32_t>((i * 7919 + 13) % static_cast<size_t>(vocab));
  return ids;
}

std::vector<Row> measure_all(const Decoder& decoder, const BenchOptions& o, double bandwidth) {
  std::vector<int32_t> ids = some_ids(std::max(o.prompt, o.tokens), decoder.config().vocab);
  KvCache cache = decoder.make_cache(std::max(o.prompt, o.tokens));
  std::vector<float> logits;
  std::vector<Row> rows;
  auto forward = [&](int64_t at, int64_t count) {
    Slice slice{&cache, at, count};
    decoder.forward(std::span(ids).subspan(static_cast<size_t>(at), static_cast<size_t>(count)),
                    {&slice, 1}, Decoder::Rows::kLast, logits);
  };
  if (o.prompt > 0)
    rows.push_back(
        measure(fmt::format("pp{}", o.prompt), o.prompt, o, [&] { forward(0, o.prompt); }));
  if (o.tokens > 0) {
    rows.push_back(measure(fmt::format("tg{}", o.tokens), o.tokens, o, [&] {
      for (int64_t t = 0; t < o.tokens; ++t) forward(t, 1);
    }));
    rows.back().share = static_cast<double>(decoder.read_bytes()) * rows.back().median / bandwidth;
  }
  return rows;
}

Json to_json(const Row& r) {
  Json j = {{"test", r.test},
            {"tokens_per_second", r.median},
            {"tokens_per_second_min", r.least},
            {"tokens_per_second_max", r.most},
            {"ms_per_token", 1e3 / r.median}};
  j["bandwidth_share"] = r.share > 0 ? Json(r.share) : Json(nullptr);
  return j;
}

void put_table(const Json& head, const std::vector<Row>& rows) {
  put_line("{}; {} threads; {}; {:.1f} GB/s measured read bandwidth",
           head["cpu"].get<std::string>(), head["threads"].get<int>(),
           head["arithmetic"].get<std::string>(),
           head["read_bandwidth_bytes_per_second"].get<double>() / 1e9);
  put_line("{} MB of weights read for a token; {} warm-up runs, median of {}\n",
           head["read_bytes_per_token"].get<int64_t>() / 1000000, head["warmup"].get<int64_t>(),
           head["runs"].get<int64_t>());
  put_line("| test | tokens/s | min | max | ms/token | % of bandwidth |");
  put_line("|---|---|---|---|---|---|");
  for (const Row& r : rows)
    put_line("| {} | {:.2f} | {:.2f} | {:.2f} | {:.3f} | {} |", r.test, r.median, r.least, r.most,
             1e3 / r.median, r.share > 0 ? fmt::format("{:.1f}", 100 * r.share) : "-");
}

Result<int> bench(BenchOptions o) {
  std::string folder = NB_TRY(model_folder(o.model));
  int64_t longest = std::max({o.prompt, o.tokens, int64_t{1}});
  Decoder decoder = NB_TRY(Decoder::load(folder, o.activations, longest));
  int64_t context = decoder.config().context;
  if (longest > context) note("lengths cut to the model's context of {}", context);
  o.prompt = std::min(o.prompt, context);
  o.tokens = std::min(o.tokens, context);
  double bandwidth = NB_TRY(measure_read_bandwidth());
  auto [integer, all] = decoder.integer_linears();
  Json head = {{"model", folder},
               {"cpu", cpu_name()},
               {"threads", thread_count()},
               {"activations", integer > 0 ? activations_name(o.activations) : "float"},
               {"kernels", integer > 0 ? NB_TRY(kernel_table_name()) : "float"},
               {"arithmetic", NB_TRY(describe_arithmetic(o.activations, {integer, all}))},
               {"read_bytes_per_token", decoder.read_bytes()},
               {"read_bandwidth_bytes_per_second", bandwidth},
               {"warmup", o.warmup},
               {"runs", o.runs}};
  std::vector<Row> rows = measure_all(decoder, o, bandwidth);
  if (!o.json) {
    put_table(head, rows);
    return 0;
  }
  head["tests"] = Json::array();
  for (const Row& r : rows) head["tests"].push_back(to_json(r));
  put_json(head);
  return 0;
}

CommandBody setup(CLI::App& app) {
  auto o = std::make_shared<BenchOptions>();
  add_model_option(app, o->model);
  app.add_option("-p,--prompt", o->prompt, "Tokens of prefill, 0: skip it (default: 512)")
      ->check(within(0, 1 << 20))
      ->type_name("N");
  app.add_option("-n,--tokens", o->tokens, "Tokens of decoding, 0: skip it (default: 128)")
      ->check(within(0, 1 << 20))
      ->type_name("N");
  app.add_option("--warmup", o->warmup, "Runs before the clock starts (default: 5)")
      ->check(within(0, 100000))
      ->type_name("N");
  app.add_option("--runs", o->runs, "Runs that count (default: 30)")
      ->check(within(1, 100000))
      ->type_name("N");
  add_activations_option(app, o->activations);
  add_threads_option(app);
  add_json_option(app, o->json);
  app.footer(
      "A decode step reads every weight once, so the share of memory bandwidth says how near "
      "it is\nto what this machine can do. Long runs: --runs 5 --warmup 1.");
  return [o] { return bench(*o); };
}

}  // namespace

const Command kCommand_bench = {"bench", "speed: prefill and decode, beside the memory's limit",
                                setup};

}  // namespace nibble
