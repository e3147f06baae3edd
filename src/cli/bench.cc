#include <algorithm>
#include <chrono>

#include "base/log.h"
#include "base/threads.h"
#include "cli/bench_tables.h"
#include "cli/common.h"
#include "cli/help.h"
#include "cli/machine.h"

namespace nibble {
namespace {

struct BenchOptions {
  std::string model, packed;
  BenchPlan plan;
  bool json = false;
  Activations activations = Activations::kInt8Block32;
};

double seconds_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

// From one token of prompt to the next one's logits: all weights are touched for the first time.
void write_first_token(const Decoder& decoder, KvType type) {
  KvCache cache = decoder.make_cache(1, type);
  Slice slice{&cache, 0, 1};
  std::vector<float> logits;
  const int32_t id = 0;
  decoder.forward({&id, 1}, {&slice, 1}, Decoder::Rows::kLast, logits);
}

// Positions of the longest row.
int64_t longest(const BenchPlan& plan) {
  int64_t deepest = *std::max_element(plan.depths.begin(), plan.depths.end());
  return std::max({plan.prompt, plan.tokens > 0 ? deepest + plan.tokens : 0, int64_t{1}});
}

Result<int> bench(const BenchOptions& o) {
  if (o.plan.prompt + o.plan.tokens == 0) return usage("-p 0 and -n 0 leave nothing to measure");
  std::string folder = NB_TRY(model_folder(o.model));
  BenchHead head;
  auto start = std::chrono::steady_clock::now();
  Decoder decoder = NB_TRY(Decoder::load(folder, o.activations, longest(o.plan), o.packed));
  head.load_seconds = seconds_since(start);
  if (longest(o.plan) > decoder.config().context)
    note("beyond the model's context of {}: only the speed means anything",
         decoder.config().context);
  start = std::chrono::steady_clock::now();
  write_first_token(decoder, o.plan.cache);
  head.first_token_seconds = seconds_since(start);
  head.memory = resident_memory();

  ArithmeticCounts linears = decoder.arithmetic();
  head.model = folder;
  head.cpu = cpu_name();
  head.threads = thread_count();
  head.pinned = threads_pinned();
  head.activations = linears.int8() > 0 ? activations_name(o.activations) : "float";
  head.kernels = linears.integer > 0 ? NB_TRY(kernel_table_name()) : "float";
  head.arithmetic = NB_TRY(describe_arithmetic(o.activations, linears));
  head.read_bytes = decoder.read_bytes(1);
  LimitMeter limits = NB_TRY(LimitMeter::open());
  std::unique_ptr<EnergyMeter> energy = EnergyMeter::find();
  if (energy) head.meter = energy->name();

  std::vector<BenchRow> rows = measure_rows(decoder, o.plan, limits, energy.get());
  if (o.json)
    put_json(bench_json(head, o.plan, rows));
  else
    put_bench(head, o.plan, rows);
  return 0;
}

void add_count(CLI::App& app, const char* name, int64_t& value, int64_t least, int64_t most,
               const char* help) {
  app.add_option(name, value, help)->check(within(least, most))->type_name("N");
}

void add_list(CLI::App& app, const char* name, std::vector<int64_t>& values, int64_t least,
              int64_t most, const char* help) {
  app.add_option(name, values, help)
      ->delimiter(',')
      ->allow_extra_args(false)
      ->check(within(least, most))
      ->option_text("LIST");
}

CommandBody setup(CLI::App& app) {
  auto o = std::make_shared<BenchOptions>();
  BenchPlan& plan = o->plan;
  add_model_option(app, o->model);
  add_count(app, "-p,--prompt", plan.prompt, 0, 1 << 20,
            "Tokens of prefill, 0: skip it (default: 512)");
  add_count(app, "-n,--tokens", plan.tokens, 0, 1 << 20,
            "Tokens of decoding, 0: skip it (default: 128)");
  add_list(app, "--batch", plan.batches, 1, 1024,
           "Sequences decoded together, a row for each count, as 1,2,4,8; tokens/s are those of "
           "all of them (default: 1)");
  add_list(app, "--depth", plan.depths, 0, 1 << 20,
           "Tokens in the cache before decoding begins, a row for each count, as 0,2048 "
           "(default: 0)");
  add_count(app, "--warmup", plan.warmup, 0, 100000, "Runs before the clock starts (default: 5)");
  add_count(app, "--runs", plan.runs, 1, 100000, "Runs that count (default: 30)");
  app.add_flag("--profile", plan.profile,
               "Where the time goes: each operator beside the machine's limits");
  add_cache_option(app, plan.cache);
  add_activations_option(app, o->activations);
  add_packed_option(app, o->packed);
  add_threads_option(app);
  add_json_option(app, o->json);
  app.footer(
      "The limits, streaming reads from memory and multiply-accumulates on registers, are "
      "measured\n"
      "between the runs. A decode step reads every weight once, so it is held against the first,\n"
      "prefill against the second. Long runs: --runs 5 --warmup 1.");
  return [o] { return bench(*o); };
}

}  // namespace

const Command kCommand_bench = {"bench", "speed: prefill and decode, beside the machine's limits",
                                setup};

}  // namespace nibble
