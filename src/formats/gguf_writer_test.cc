#include "formats/gguf_writer.h"

#include "base/test_util.h"
#include "formats/gguf.h"

namespace nibble {
namespace {

PendingGgufTensor tensor(const std::string& name, std::vector<int64_t> shape) {
  PendingGgufTensor t{name, find_ggml_type("F32"), std::move(shape), {}};
  int64_t row = t.shape.back();
  t.rows = [row](int64_t first, int64_t count, std::byte* out) -> Status {
    for (int64_t i = 0; i < count * row; ++i) {
      auto v = static_cast<float>(first * row + i);
      std::memcpy(out + i * 4, &v, 4);
    }
    return {};
  };
  return t;
}

TEST(GgufWriter, ReadsBackAsItWasWritten) {
  TempFolder dir;
  GgufMetadata metadata;
  metadata.text("general.architecture", "llama");
  metadata.number("llama.block_count", 3);
  metadata.real("llama.rope.freq_base", 10000);
  metadata.flag("tokenizer.ggml.add_bos_token", true);
  metadata.texts("tokens", std::vector<std::string>{"a", "", "b c"});
  metadata.integers("types", std::vector<int32_t>{1, -3});
  metadata.reals("scores", std::vector<float>{0.5f});
  std::vector<PendingGgufTensor> tensors = {tensor("x", {5}), tensor("y", {2, 3, 7})};
  ASSERT_TRUE(succeeds(write_gguf(dir / "m.gguf", metadata, tensors)));
  auto file = open_gguf(dir / "m.gguf");
  ASSERT_TRUE(succeeds(file));
  EXPECT_EQ(*file->find<std::string_view>("general.architecture"), "llama");
  EXPECT_EQ(*file->find<int64_t>("llama.block_count"), 3);
  EXPECT_EQ(*file->find<double>("llama.rope.freq_base"), 10000);
  EXPECT_TRUE(*file->find<bool>("tokenizer.ggml.add_bos_token"));
  const auto& texts = std::get<std::vector<std::string_view>>(*file->find<GgufArray>("tokens"));
  EXPECT_EQ(texts[2], "b c");
  EXPECT_EQ(std::get<std::vector<int64_t>>(*file->find<GgufArray>("types"))[1], -3);
  ASSERT_EQ(file->tensors.size(), 2u);
  EXPECT_EQ(file->tensors[1].shape, (std::vector<int64_t>{2, 3, 7}));
  std::vector<float> y(42);
  gguf_to_float(file->tensors[1], y.data());
  EXPECT_EQ(y[41], 41);
}

TEST(GgufWriter, RefusesNamesThatLoadersDo) {
  TempFolder dir;
  std::string path = dir / "m.gguf";
  EXPECT_TRUE(
      fails_with(write_gguf(path, {}, std::vector{tensor(std::string(64, 'n'), {4})}), "64 bytes"));
  EXPECT_TRUE(succeeds(write_gguf(path, {}, std::vector{tensor(std::string(63, 'n'), {4})})));
  EXPECT_TRUE(
      fails_with(write_gguf(path, {}, std::vector{tensor("a", {4}), tensor("a", {4})}), "two"));
}

}  // namespace
}  // namespace nibble
