#include "formats/remembered_digest.h"

#include "base/test_util.h"
#include "formats/safetensors.h"

namespace nibble {
namespace {

class RememberedDigestTest : public testing::Test {
 protected:
  void SetUp() override {
    ASSERT_TRUE(succeeds(write_file(model_ / "config.json", "{}")));
    put({1, 2});
  }
  void put(const std::vector<float>& values) {
    auto size = static_cast<int64_t>(values.size());
    ASSERT_TRUE(succeeds(write_safetensors(model_ / "model.safetensors",
                                           {{"a", own_floats(DType::kF32, {size}, values)}}, {})));
  }
  Checkpoint open() { return Checkpoint::open(model_.path()).value(); }
  std::string digest() { return remembered_digest(open(), notes_.path(), later_).value(); }
  std::vector<std::string> notes() { return list_files(notes_.path()).value(); }

  TempFolder model_, notes_;
  std::chrono::system_clock::time_point later_ =
      std::chrono::system_clock::now() + std::chrono::minutes(1);
};

TEST_F(RememberedDigestTest, IsTheDigestAndIsTakenFromTheNoteAfterwards) {
  EXPECT_EQ(digest(), open().digest().value());
  ASSERT_EQ(notes().size(), 1u);
  // Only a note that says something else shows that it is what counts.
  std::string planted(32, 'c');
  ASSERT_TRUE(succeeds(write_file(notes_ / notes()[0], planted)));
  EXPECT_EQ(digest(), planted);
}

TEST_F(RememberedDigestTest, ChangedFilesAreRead) {
  std::string first = digest();
  put({1, 3});
  EXPECT_NE(digest(), first);
  EXPECT_EQ(digest(), open().digest().value());
  EXPECT_EQ(notes().size(), 2u);
  ASSERT_TRUE(succeeds(write_file(model_ / "config.json", "{ }")));
  EXPECT_EQ(digest(), open().digest().value());
  EXPECT_EQ(notes().size(), 3u);
}

TEST_F(RememberedDigestTest, FilesChangedJustNowAreReadEachTime) {
  EXPECT_EQ(remembered_digest(open(), notes_.path()).value(), open().digest().value());
  EXPECT_TRUE(notes().empty());
}

TEST_F(RememberedDigestTest, TensorsInMemoryAreReadEachTime) {
  Checkpoint c = Checkpoint::of_tensors("memory", {{"a", own_floats(DType::kF32, {1}, {{1.f}})}});
  EXPECT_EQ(remembered_digest(c, notes_.path(), later_).value(), c.digest().value());
  EXPECT_TRUE(notes().empty());
}

TEST_F(RememberedDigestTest, TensorsInMemoryBesideAFileCountByTheirValues) {
  NamedTensor stored = open().tensors()[0];
  auto both = [&](float value) {
    return Checkpoint::of_tensors("both", {stored, {"b", own_floats(DType::kF32, {1}, {{value}})}});
  };
  for (float value : {1.f, 2.f, 1.f})
    EXPECT_EQ(remembered_digest(both(value), notes_.path(), later_).value(),
              both(value).digest().value());
  EXPECT_EQ(notes().size(), 2u);
}

TEST_F(RememberedDigestTest, NotesThatAreNoDigestAreWrittenAnew) {
  std::string right = digest();
  for (const char* wrong : {"", "no digest", "0123456789abcdef0123456789abcdefff"}) {
    ASSERT_TRUE(succeeds(write_file(notes_ / notes()[0], wrong)));
    EXPECT_EQ(digest(), right) << wrong;
    EXPECT_EQ(read_file(notes_ / notes()[0]).value(), right) << wrong;
  }
}

TEST_F(RememberedDigestTest, AFolderThatTakesNoNotesCostsReadingAlone) {
  EXPECT_EQ(remembered_digest(open(), notes_ / "none", later_).value(), open().digest().value());
}

}  // namespace
}  // namespace nibble
