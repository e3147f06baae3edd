// The forward pass against transformers' answers on tiny random models: shared/models/golden.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>

#include "base/file.h"
#include "formats/safetensors.h"
#include "runtime/session.h"

namespace nibble {
namespace {

// The reference's answers. logits: (48, vocab), hidden: (layers + 1, 48, hidden).
struct Golden {
  std::vector<int32_t> input, prompt, greedy;
  std::vector<float> logits, hidden;
};

template <class T>
std::vector<T> values(const SafetensorsFile& file, const std::string& name) {
  for (const NamedTensor& t : file.tensors) {
    if (t.name != name) continue;
    std::vector<T> out(t.view.bytes.size() / sizeof(T));
    std::memcpy(out.data(), t.view.bytes.data(), out.size() * sizeof(T));
    return out;
  }
  ADD_FAILURE() << "no tensor " << name;
  return {};
}

// The largest difference, in standard deviations of the reference.
double distance(std::span<const float> got, std::span<const float> want) {
  EXPECT_EQ(got.size(), want.size());
  if (got.size() != want.size()) return INFINITY;
  double sum = 0, squares = 0, most = 0;
  for (size_t i = 0; i < want.size(); ++i) {
    sum += want[i];
    squares += static_cast<double>(want[i]) * want[i];
    double d = std::fabs(static_cast<double>(got[i]) - want[i]);
    most = d <= most ? most : d;  // NaN sticks
  }
  auto n = static_cast<double>(want.size());
  return most / std::sqrt(squares / n - sum / n * (sum / n));
}

class GoldenTest : public testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    folder_ = std::string(NIBBLE_SOURCE_DIR "/../shared/models/golden/") + GetParam();
    if (!is_folder(folder_)) GTEST_SKIP() << folder_ << " is absent";
    auto file = open_safetensors(folder_ + "/golden.safetensors");
    ASSERT_TRUE(file) << file.error().message;
    golden_ = {values<int32_t>(*file, "input_ids"), values<int32_t>(*file, "greedy_prompt"),
               values<int32_t>(*file, "greedy_ids"), values<float>(*file, "logits"),
               values<float>(*file, "hidden_states")};
    auto model = TextModel::load(folder_, Activations::kFloat);
    ASSERT_TRUE(model) << model.error().message;
    model_.emplace(std::move(*model));
  }

  // Feeds the prompt `chunk` tokens at a time and compares everything that comes out.
  void expect_same(size_t chunk) {
    const Decoder& decoder = model_->decoder;
    size_t tokens = golden_.input.size();
    auto width = static_cast<size_t>(decoder.config().hidden);
    KvCache cache = decoder.make_cache(static_cast<int64_t>(tokens));
    std::vector<float> logits, part;
    std::vector<float> hidden(golden_.hidden.size());
    for (size_t at = 0; at < tokens; at += chunk) {
      auto ids = std::span<const int32_t>(golden_.input).subspan(at, std::min(chunk, tokens - at));
      Slice slice{&cache, static_cast<int64_t>(at), static_cast<int64_t>(ids.size())};
      auto tap = [&](int64_t layer, std::span<const float> h) {
        size_t begin = (static_cast<size_t>(layer) * tokens + at) * width;
        ASSERT_LE(begin + h.size(), hidden.size());
        std::copy(h.begin(), h.end(), hidden.begin() + static_cast<ptrdiff_t>(begin));
      };
      decoder.forward(ids, {&slice, 1}, Decoder::Rows::kAll, part, tap);
      logits.insert(logits.end(), part.begin(), part.end());
    }
    EXPECT_LE(distance(logits, golden_.logits), 1e-3);
    EXPECT_LE(distance(hidden, golden_.hidden), 1e-3);
  }

  std::string folder_;
  Golden golden_;
  std::optional<TextModel> model_;
};

TEST_P(GoldenTest, PromptWhole) { expect_same(golden_.input.size()); }
TEST_P(GoldenTest, PromptTokenByToken) { expect_same(1); }
TEST_P(GoldenTest, PromptInChunksOfSeven) { expect_same(7); }

TEST_P(GoldenTest, GreedyIds) {
  GenerationOptions options;
  options.max_tokens = static_cast<int64_t>(golden_.greedy.size());
  options.sampling.temperature = 0;
  options.ignore_eos = true;
  auto out = generate(*model_, golden_.prompt, options);
  ASSERT_TRUE(out) << out.error().message;
  EXPECT_EQ(out->ids, golden_.greedy);
  EXPECT_EQ(out->finish, Finish::kLength);
}

INSTANTIATE_TEST_SUITE_P(Models, GoldenTest,
                         testing::Values("bloom", "falcon-7b-style", "falcon-alibi", "falcon-new",
                                         "gemma", "gemma2", "gemma3", "gpt-neox",
                                         "gpt-neox-sequential", "gpt2", "gptj", "granite", "llama",
                                         "llama-bias", "llama3-rope", "mistral-window", "mixtral",
                                         "mpt", "olmo2", "opt", "opt-350m-style", "phi", "phi3",
                                         "phi3-longrope", "qwen2", "qwen2-yarn", "qwen3",
                                         "qwen3-moe", "smollm3", "stablelm", "starcoder2"),
                         [](const auto& info) {
                           std::string name = info.param;
                           std::replace(name.begin(), name.end(), '-', '_');
                           return name;
                         });

}  // namespace
}  // namespace nibble
