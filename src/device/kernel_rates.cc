#include "device/kernel_rates.h"

#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <functional>
#include <random>

#include "base/profile.h"
#include "runtime/session.h"
#include "runtime/spread.h"

namespace nibble {
namespace {

constexpr const char* kRated[] = {"bf16",        "w8",          "w6g64-asym", "w4g32",
                                  "w4g128-asym", "w3g128-asym", "w2g64-asym"};
// The gate of a model of a billion parameters: what threads cost one another for each product then
// weighs as it does there.
constexpr int64_t kOutputs = 5632, kInputs = 2048, kRows = 512;
constexpr int64_t kLeastBytes = int64_t{160} << 20;
constexpr int kDecodeLooks = 9, kPrefillLooks = 5;
constexpr int64_t kTokens = 128;  // of decoding, for a block's rates

double seconds_of(const std::function<void()>& work) {
  auto start = std::chrono::steady_clock::now();
  work();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

double median_of(int looks, const std::function<void()>& work) {
  std::vector<double> seconds;
  for (int i = 0; i < looks; ++i) seconds.push_back(seconds_of(work));
  return spread_of(seconds).median;
}

std::vector<float> random_floats(int64_t count) {
  std::mt19937 random(1);
  std::vector<float> out(static_cast<size_t>(count));
  for (float& v : out) v = static_cast<float>(static_cast<int32_t>(random())) * 0x1p-31f;
  return out;
}

QuantizedMatrix random_matrix(const Scheme& scheme) {
  std::mt19937 random(0);
  QuantizedBuilder builder(scheme, kOutputs, kInputs);
  std::vector<uint8_t> codes(static_cast<size_t>(kInputs));
  std::vector<Grid> grids(static_cast<size_t>(scheme.groups(kInputs)),
                          {.01f, scheme.symmetric_zero()});
  for (int64_t row = 0; row < kOutputs; ++row) {
    for (uint8_t& c : codes)
      c = static_cast<uint8_t>(std::max<uint32_t>(random() >> (32 - scheme.bits),
                                                  static_cast<uint32_t>(scheme.min_code())));
    builder.set_row(row, codes.data(), grids);
  }
  return builder.finish();
}

// Twice the last cache, so that a pass over all finds nothing of the pass before.
int64_t beyond_caches() {
  return std::max<int64_t>(kLeastBytes, 2 * ::sysconf(_SC_LEVEL3_CACHE_SIZE));
}

// Copies of one matrix, each in memory of its own.
Result<std::vector<std::unique_ptr<Linear>>> make_subjects(const std::string& scheme) {
  std::function<Result<std::unique_ptr<Linear>>()> another;
  if (scheme == "bf16") {
    another = [floats = random_floats(kOutputs * kInputs)]() -> Result<std::unique_ptr<Linear>> {
      return make_float_linear(own_floats(DType::kBF16, {kOutputs, kInputs}, floats), {});
    };
  } else {
    InputRule rule;
    rule.mode = Activations::kInt8Block32;
    another = [matrix = random_matrix(NB_TRY(Scheme::parse(scheme))), rule] {
      return make_quantized_linear(matrix, {}, rule, nullptr);
    };
  }
  std::vector<std::unique_ptr<Linear>> out;
  for (int64_t bytes = 0; bytes < beyond_caches(); bytes += out.back()->read_bytes())
    out.push_back(NB_TRY(another()));
  return out;
}

}  // namespace

std::span<const char* const> rated_schemes() { return kRated; }

Result<KernelRate> measure_kernels(const std::string& scheme) {
  auto subjects = NB_TRY(make_subjects(scheme));
  std::vector<float> x = random_floats(kRows * kInputs);
  std::vector<float> y(static_cast<size_t>(kRows * kOutputs));
  double decode = median_of(kDecodeLooks, [&] {
    for (const auto& subject : subjects) {
      LinearInput row(x.data(), 1, kInputs);
      subject->run(row, y.data(), kOutputs);
    }
  });
  // As a pass over a model has it: weights that no cache holds, and a residual stream to add to.
  std::vector<float> stream(y.size());
  double prefill = median_of(kPrefillLooks, [&, next = size_t{0}]() mutable {
    LinearInput rows(x.data(), kRows, kInputs);
    subjects[next++ % subjects.size()]->run(
        rows, y.data(), kOutputs, [&](int64_t first, int64_t last) {
          for (int64_t r = 0; r < kRows; ++r)
            for (int64_t i = r * kOutputs + first; i < r * kOutputs + last; ++i)
              stream[static_cast<size_t>(i)] += y[static_cast<size_t>(i)];
        });
  });
  auto macs = static_cast<double>(kOutputs * kInputs);
  return KernelRate{macs * static_cast<double>(subjects.size()) / decode,
                    macs * static_cast<double>(kRows) / prefill};
}

BlockRates measure_block(const Decoder& decoder) {
  const DecoderConfig& c = decoder.config();
  int64_t rows = std::min(kRows, decoder.context()), tokens = std::min(kTokens, decoder.context());
  std::vector<int32_t> ids(static_cast<size_t>(rows), 1);
  std::vector<float> logits;
  Flow flow;
  KvCache cache = decoder.make_cache(decoder.context());
  BlockRates out;
  auto beside_products = [&](const std::function<void()>& work) {
    work();  // memory that is touched for the first time
    profile_start();
    work();
    double seconds = 0;
    for (const OperatorProfile& op : profile_take()) {
      if (op.name == "norm" || op.name == "rotation, cache") seconds += op.seconds;
      if (op.name != "attention") continue;
      out.attention = static_cast<double>(op.macs) / op.seconds;
      out.decode_seconds = op.seconds;
    }
    return seconds;
  };
  double few = beside_products([&] {
    for (int64_t t = 0; t < tokens; ++t) {
      Slice slice{&cache, t, 1};
      decoder.forward({ids.data(), 1}, {&slice, 1}, Decoder::Rows::kLast, flow, logits);
    }
  });
  double a_token = (few + out.decode_seconds) / static_cast<double>(tokens * c.layers);
  double many = beside_products([&] { prefill(decoder, ids, cache, 0, flow, logits); });
  out.decode_seconds = a_token;
  out.values = static_cast<double>(rows * c.layers * c.hidden) / many;
  return out;
}

}  // namespace nibble
