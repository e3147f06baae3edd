#include "formats/checkpoint.h"

#include "base/test_util.h"
#include "formats/safetensors.h"

namespace nibble {
namespace {

NamedTensor floats(const std::string& name, std::vector<float> values) {
  auto size = static_cast<int64_t>(values.size());
  return {name, own_floats(DType::kF32, {size}, values)};
}

class CheckpointTest : public testing::Test {
 protected:
  void put(const std::string& name, const std::string& text) {
    ASSERT_TRUE(succeeds(write_file(dir_ / name, text)));
  }
  void put_tensors(const std::string& name, std::vector<NamedTensor> tensors) {
    ASSERT_TRUE(succeeds(write_safetensors(dir_ / name, std::move(tensors), {})));
  }
  void put_index(const std::string& map) {
    put("model.safetensors.index.json", "{\"weight_map\":" + map + "}");
  }
  Result<Checkpoint> open() { return Checkpoint::open(dir_.path()); }
  TempFolder dir_;
};

TEST_F(CheckpointTest, NotAModelFolder) {
  EXPECT_TRUE(fails_with(Checkpoint::open(dir_ / "none"), "no such folder"));
  EXPECT_TRUE(fails_with(open(), "has no config.json"));
  put("config.json", "{}");
  EXPECT_TRUE(fails_with(Checkpoint::open(dir_ / "config.json"), "not a folder"));
  EXPECT_TRUE(fails_with(open(), "has no weights"));
  put("pytorch_model.bin", "x");
  EXPECT_TRUE(fails_with(open(), "is no zip file"));
  put("config.json", "[]");
  EXPECT_TRUE(fails_with(open(), "config.json: not a JSON object"));
  put("config.json", "{");
  EXPECT_TRUE(fails_with(open(), "config.json: not valid JSON"));
}

TEST_F(CheckpointTest, FindsItsFile) {
  put("config.json", "{\"a\":1}");
  put_tensors("weights.safetensors", {floats("x", {1, 2})});
  auto c = open();
  ASSERT_TRUE(succeeds(c));
  EXPECT_EQ(c->config()["a"], 1);
  EXPECT_TRUE(c->has("x"));
  EXPECT_FALSE(c->has("y"));
  put_tensors("other.safetensors", {floats("y", {1})});
  EXPECT_TRUE(fails_with(open(), "has 2 .safetensors files but no"));
  put_tensors("model.safetensors", {floats("z", {1})});
  EXPECT_TRUE(open()->has("z")) << "the usual name comes first";
}

TEST_F(CheckpointTest, GetNamesWhatIsWrong) {
  put("config.json", "{}");
  put_tensors("model.safetensors", {floats("x", {1, 2})});
  auto c = open().value();
  EXPECT_EQ(c.get("x", std::vector<int64_t>{2}).value().elements(), 2);
  EXPECT_TRUE(fails_with(c.get("y\n"), "has no tensor \"y\\n\""));
  EXPECT_TRUE(fails_with(c.get("x", std::vector<int64_t>{3, 1}), "shape [2], should be [3, 1]"));
  EXPECT_TRUE(fails_with(c.get("x", std::vector<int64_t>{}), "should be []"));
}

TEST_F(CheckpointTest, ReadsShards) {
  put("config.json", "{}");
  put_tensors("one.safetensors", {floats("a", {1}), floats("b", {2})});
  put_tensors("two.safetensors", {floats("c", {3}), floats("a", {9})});
  put_index(R"({"c":"two.safetensors","a":"one.safetensors","b":"one.safetensors"})");
  auto c = open();
  ASSERT_TRUE(succeeds(c));
  EXPECT_EQ(c->tensors().size(), 3u);
  float a;
  std::memcpy(&a, c->get("a")->bytes.data(), 4);
  EXPECT_EQ(a, 1) << "a name counts in the file that the index maps it to";
}

TEST_F(CheckpointTest, RefusesBadIndexes) {
  put("config.json", "{}");
  put_tensors("one.safetensors", {floats("a", {1})});
  put_index(R"({"a":"one.safetensors","b":"one.safetensors"})");
  EXPECT_TRUE(fails_with(open(), "one.safetensors: lacks the tensor \"b\""));
  put_index(R"({"a":"one.safetensors","b":"two.safetensors"})");
  EXPECT_TRUE(fails_with(open(), "names the file \"two.safetensors\", which is missing"));
  for (const char* path : {R"("../one.safetensors")", R"("/etc/passwd")", R"("a/b.safetensors")",
                           R"("..")", R"(".")", R"("")", "7", "null", R"("a\u0000b")"}) {
    put_index(fmt::format(R"({{"a":{}}})", path));
    EXPECT_TRUE(fails_with(open(), "should be a plain file name")) << path;
  }
  for (const char* map : {"{}", "[]", "null", "\"x\""}) {
    put_index(map);
    EXPECT_TRUE(fails_with(open(), "has no \"weight_map\"")) << map;
  }
  put("model.safetensors.index.json", "[]");
  EXPECT_TRUE(fails_with(open(), "has no \"weight_map\""));
  put_index(R"({"a":"config.json"})");
  EXPECT_TRUE(fails_with(open(), "config.json: 2 bytes are too few"));
}

TEST_F(CheckpointTest, DigestSeesEveryPart) {
  std::vector<NamedTensor> tensors = {floats("a", {1, 2}), floats("b", {3})};
  auto digest = [&](const std::string& config, std::vector<NamedTensor> t) {
    put("config.json", config);
    put_tensors("model.safetensors", std::move(t));
    return open()->digest().value();
  };
  std::string first = digest("{}", tensors);
  EXPECT_EQ(first.size(), 32u);
  EXPECT_EQ(digest("{}", tensors), first);
  EXPECT_NE(digest("{ }", tensors), first);
  EXPECT_NE(digest("{}", {floats("a", {1, 2}), floats("b", {4})}), first);
  EXPECT_NE(digest("{}", {floats("a", {1, 2}), floats("c", {3})}), first);
  EXPECT_NE(digest("{}", {floats("a", {1, 2})}), first);
  tensors[0].view.shape = {2, 1};
  EXPECT_NE(digest("{}", tensors), first);
  tensors[0].view.shape = {2};
  tensors[0].view.dtype = DType::kI32;
  EXPECT_NE(digest("{}", tensors), first);
  tensors[0].view.dtype = DType::kF32;

  std::filesystem::remove(dir_ / "model.safetensors");
  put_tensors("2.safetensors", {tensors[0]});
  put_tensors("1.safetensors", {tensors[1]});
  put_index(R"({"a":"2.safetensors","b":"1.safetensors"})");
  EXPECT_EQ(open()->digest().value(), first) << "the same model in shards";
}

}  // namespace
}  // namespace nibble
