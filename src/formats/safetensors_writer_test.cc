#include <algorithm>
#include <cstring>
#include <set>

#include "base/json.h"
#include "base/test_util.h"
#include "formats/checkpoint.h"
#include "formats/safetensors.h"

namespace nibble {
namespace {

NamedTensor tensor(const std::string& name, DType dtype, std::vector<int64_t> shape) {
  size_t size = static_cast<size_t>(dtype_size(dtype));
  for (int64_t d : shape) size *= static_cast<size_t>(d);
  std::vector<std::byte> bytes(size);
  for (size_t i = 0; i < size; ++i) bytes[i] = static_cast<std::byte>(i * 31 + name.size());
  return {name, own_bytes(dtype, std::move(shape), std::move(bytes))};
}

void expect_same(const NamedTensor& a, const TensorView& b) {
  EXPECT_EQ(a.view.dtype, b.dtype) << a.name;
  EXPECT_EQ(a.view.shape, b.shape) << a.name;
  EXPECT_TRUE(std::ranges::equal(a.view.bytes, b.bytes)) << a.name;
}

std::vector<NamedTensor> every_dtype() {
  std::vector<NamedTensor> out;
  for (int i = 0; i <= static_cast<int>(DType::kU64); ++i)
    out.push_back(tensor(fmt::format("t{}", i), static_cast<DType>(i), {3, i % 4}));
  out.push_back(tensor("scalar", DType::kF32, {}));
  out.push_back(tensor("name \"with\\ \xc3\xa9 and \n", DType::kU8, {5}));
  return out;
}

TEST(WriteSafetensors, RoundTripsEveryDtype) {
  TempFolder dir;
  auto tensors = every_dtype();
  std::map<std::string, std::string> metadata = {{"format", "pt"}, {"note", "a \"b\"\n"}};
  ASSERT_TRUE(succeeds(write_safetensors(dir / "a", tensors, metadata)));
  auto file = open_safetensors(dir / "a");
  ASSERT_TRUE(succeeds(file));
  EXPECT_EQ(file->metadata, metadata);
  ASSERT_EQ(file->tensors.size(), tensors.size());
  for (const auto& t : file->tensors) {
    auto it = std::ranges::find(tensors, t.name, &NamedTensor::name);
    ASSERT_NE(it, tensors.end());
    expect_same(*it, t.view);
    EXPECT_EQ(reinterpret_cast<uintptr_t>(t.view.bytes.data()) % dtype_size(t.view.dtype), 0u);
  }
}

TEST(WriteSafetensors, BytesDoNotDependOnTheOrderGiven) {
  TempFolder dir;
  auto tensors = every_dtype();
  ASSERT_TRUE(succeeds(write_safetensors(dir / "a", tensors, {})));
  std::reverse(tensors.begin(), tensors.end());
  ASSERT_TRUE(succeeds(write_safetensors(dir / "b", tensors, {})));
  EXPECT_EQ(read_file(dir / "a").value(), read_file(dir / "b").value());
  uint64_t length;
  std::memcpy(&length, read_file(dir / "a")->data(), 8);
  EXPECT_EQ(length % 8, 0u);
}

TEST(WriteSafetensors, CopiesMappedTensors) {
  TempFolder dir;
  std::vector<NamedTensor> big = {tensor("big", DType::kU8, {(40 << 20) + 5})};
  ASSERT_TRUE(succeeds(write_safetensors(dir / "a", big, {})));
  auto mapped = open_safetensors(dir / "a");
  ASSERT_TRUE(succeeds(mapped));
  ASSERT_TRUE(succeeds(write_safetensors(dir / "b", mapped->tensors, {})));
  EXPECT_EQ(read_file(dir / "a").value(), read_file(dir / "b").value());
}

TEST(WriteSafetensors, RefusesBadNames) {
  TempFolder dir;
  for (const char* name : {"", "__metadata__"})
    EXPECT_TRUE(fails_with(write_safetensors(dir / "a", {tensor(name, DType::kU8, {1})}, {}),
                           "cannot write a tensor named"));
  auto twin = tensor("x", DType::kU8, {1});
  EXPECT_TRUE(fails_with(write_safetensors(dir / "a", {twin, twin}, {}), "taken"));
  EXPECT_FALSE(path_exists(dir / "a"));
  EXPECT_TRUE(succeeds(write_safetensors(dir / "none", {}, {})));
  EXPECT_TRUE(open_safetensors(dir / "none")->tensors.empty());
}

std::vector<NamedTensor> model(int layers) {
  std::vector<NamedTensor> out = {tensor("model.embed.weight", DType::kF16, {60})};
  for (int i = 0; i < layers; ++i)
    for (const char* part : {"q.weight", "k.weight", "norm"})
      out.push_back(tensor(fmt::format("model.layers.{}.{}", i, part), DType::kF16, {50}));
  return out;
}

class WriteSharded : public testing::Test {
 protected:
  void SetUp() override { ASSERT_TRUE(succeeds(write_file(dir_ / "config.json", "{}"))); }
  TempFolder dir_;
};

TEST_F(WriteSharded, OneFileWhereItFits) {
  auto tensors = model(2);
  ASSERT_TRUE(succeeds(write_sharded(dir_.path(), pending(tensors), 120 + 2 * 300)));
  EXPECT_EQ(list_files(dir_.path()).value(),
            (std::vector<std::string>{"config.json", "model.safetensors"}));
}

TEST_F(WriteSharded, ShardsReadBackAndKeepLayersTogether) {
  auto tensors = model(12);
  ASSERT_TRUE(succeeds(write_sharded(dir_.path(), pending(tensors), 700)));
  auto names = list_files(dir_.path()).value();
  ASSERT_EQ(names.size(), 9u) << "2 layers a shard, one shard for the embedding, index, config";
  EXPECT_EQ(names[1], "model-00001-of-00007.safetensors");
  auto checkpoint = Checkpoint::open(dir_.path());
  ASSERT_TRUE(succeeds(checkpoint));
  EXPECT_EQ(checkpoint->tensors().size(), tensors.size());
  for (const auto& t : tensors) expect_same(t, checkpoint->get(t.name).value());

  Json index = read_json(dir_ / "model.safetensors.index.json").value();
  EXPECT_EQ(index["metadata"]["total_size"], 120 + 12 * 300);
  std::map<std::string, std::set<std::string>> files_of_layer;
  for (const auto& [name, file] : index["weight_map"].items()) {
    size_t at = name.find('.', std::string("model.layers.").size());
    files_of_layer[name.substr(0, at)].insert(file.get<std::string>());
  }
  for (const auto& [layer, files] : files_of_layer) EXPECT_EQ(files.size(), 1u) << layer;
  for (const auto& name : names)
    if (name.ends_with(".safetensors")) {
      int64_t bytes = 0;
      auto file = open_safetensors(dir_ / name).value();
      for (const auto& t : file.tensors) bytes += static_cast<int64_t>(t.view.bytes.size());
      EXPECT_LE(bytes, 700) << name;
    }
}

TEST_F(WriteSharded, LargerThanAShard) {
  auto tensors = model(2);  // a layer has 300 bytes, a tensor 100
  for (int64_t max : {250, 100, 10}) {
    TempFolder other;
    ASSERT_TRUE(succeeds(write_file(other / "config.json", "{}")));
    ASSERT_TRUE(succeeds(write_sharded(other.path(), pending(tensors), max)));
    auto checkpoint = Checkpoint::open(other.path());
    ASSERT_TRUE(succeeds(checkpoint)) << max;
    for (const auto& t : tensors) expect_same(t, checkpoint->get(t.name).value());
  }
}

// One tensor at a time is held; what fails to load leaves no file.
TEST(WritePending, LoadsWhenItWrites) {
  TempFolder dir;
  std::weak_ptr<const void> last;
  std::vector<PendingTensor> tensors;
  for (int i = 0; i < 3; ++i)
    tensors.push_back({fmt::format("t{}", i), DType::kF32, {2}, [&last, i]() -> Result<TensorView> {
                         EXPECT_TRUE(last.expired()) << "the tensor before is still held";
                         auto f = static_cast<float>(i);
                         TensorView view = own_floats(DType::kF32, {2}, std::array{f, f + 1});
                         last = view.owner;
                         return view;
                       }});
  ASSERT_TRUE(succeeds(write_pending(dir / "a", tensors, {})));
  auto back = open_safetensors(dir / "a");
  ASSERT_TRUE(succeeds(back));
  ASSERT_EQ(back->tensors.size(), 3u);
  float f = 0;
  std::memcpy(&f, back->tensors[2].view.bytes.data() + 4, 4);
  EXPECT_EQ(f, 3);
  tensors[1].load = []() -> Result<TensorView> { return fail("no such luck"); };
  EXPECT_TRUE(fails_with(write_pending(dir / "b", tensors, {}), "no such luck"));
  EXPECT_FALSE(path_exists(dir / "b"));
}

}  // namespace
}  // namespace nibble
