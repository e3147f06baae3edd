#include "formats/safetensors.h"

#include <sys/stat.h>

#include <algorithm>
#include <cstring>
#include <ctime>

#include "base/json.h"
#include "base/test_util.h"

namespace nibble {
namespace {

std::string file_of(std::string_view header, size_t data_bytes) {
  uint64_t length = header.size();
  std::string out(reinterpret_cast<const char*>(&length), 8);
  return out.append(header).append(data_bytes, 'd');
}

class Safetensors : public testing::Test {
 protected:
  Result<SafetensorsFile> open(std::string_view bytes) {
    EXPECT_TRUE(succeeds(write_file(dir_ / "x.safetensors", bytes)));
    return open_safetensors(dir_ / "x.safetensors");
  }
  Result<SafetensorsFile> open_header(std::string_view header, size_t data_bytes) {
    return open(file_of(header, data_bytes));
  }
  // A file with one tensor "t" of this record.
  Result<SafetensorsFile> open_record(std::string_view record, size_t data_bytes) {
    return open_header(fmt::format("{{\"t\":{{{}}}}}", record), data_bytes);
  }
  TempFolder dir_;
};

constexpr const char* kTwo =
    R"({"__metadata__":{"format":"pt"},"b":{"dtype":"F32","shape":[2],"data_offsets":[4,12]},)"
    R"("a":{"shape":[],"data_offsets":[0,4],"dtype":"I32"}})";

TEST_F(Safetensors, ReadsInOrderOfOffsets) {
  auto file = open_header(kTwo, 12);
  ASSERT_TRUE(succeeds(file));
  ASSERT_EQ(file->tensors.size(), 2u);
  EXPECT_EQ(file->tensors[0].name, "a");
  EXPECT_TRUE(file->tensors[0].view.shape.empty());
  EXPECT_EQ(file->tensors[0].view.elements(), 1);
  EXPECT_EQ(file->tensors[1].view.shape, std::vector<int64_t>{2});
  EXPECT_EQ(file->tensors[1].view.dtype, DType::kF32);
  EXPECT_EQ(file->metadata.at("format"), "pt");
  EXPECT_TRUE(succeeds(open_header("{}", 0)));
  EXPECT_TRUE(succeeds(open_header(R"({"__metadata__":{}}   )", 0)));
}

TEST_F(Safetensors, ZeroDimsMayShareAnOffset) {
  auto file = open_header(R"({"z":{"dtype":"F32","shape":[0,5],"data_offsets":[0,0]},
      "y":{"dtype":"F16","shape":[3,0],"data_offsets":[0,0]},
      "a":{"dtype":"U8","shape":[3],"data_offsets":[0,3]},
      "w":{"dtype":"U8","shape":[0],"data_offsets":[3,3]}})",
                          3);
  ASSERT_TRUE(succeeds(file));
  EXPECT_EQ(file->tensors.size(), 4u);
}

TEST_F(Safetensors, TruncatedAnywhereIsRefused) {
  std::string whole = file_of(kTwo, 12);
  for (size_t size = 0; size < whole.size(); ++size)
    EXPECT_FALSE(open(std::string_view(whole).substr(0, size))) << size;
  EXPECT_TRUE(fails_with(open(""), "0 bytes are too few"));
  EXPECT_TRUE(fails_with(open(std::string_view(whole).substr(0, 20)), "cut off"));
  EXPECT_TRUE(fails_with(open(whole + "x"), "1 bytes follow its last tensor"));
}

TEST_F(Safetensors, LyingHeaderLengths) {
  std::string whole = file_of(kTwo, 12);
  for (uint64_t length :
       {uint64_t{0}, uint64_t{1}, whole.size() - 8, whole.size() - 7, uint64_t{100'000'001},
        uint64_t{1} << 32, uint64_t{1} << 63, ~uint64_t{0}, ~uint64_t{0} - 7}) {
    std::string lie = whole;
    std::memcpy(lie.data(), &length, 8);
    EXPECT_FALSE(open(lie)) << length;
  }
}

TEST_F(Safetensors, HeaderMustBeAnObjectOfRecords) {
  for (const char* bad :
       {"[]", "7", " {}", "\xef\xbb\xbf{}", "{", "{}{}", "null", R"({"t":null})", R"({"t":3})",
        R"({"t":"x"})", R"({"t":[]})", R"({"t":{}})", R"({"__metadata__":{"a":1}})",
        R"({"__metadata__":{"a":{}}})", R"({"__metadata__":{"a":["b"]}})",
        R"({"__metadata__":{"a":"1","a":"2"}})", R"({"__metadata__":"x"})"})
    EXPECT_FALSE(open_header(bad, 0)) << bad;
  std::string deep = "{\"t\":" + std::string(100'000, '[');
  EXPECT_TRUE(fails_with(open_header(deep, 0), "has a list where none belongs"));
  EXPECT_TRUE(fails_with(open_header(std::string("{}\0 x", 5), 0), "not a safetensors file"));
}

TEST_F(Safetensors, BadRecords) {
  struct Case {
    const char* record;
    size_t bytes;
    const char* message;
  };
  for (const Case& c : std::initializer_list<Case>{
           {R"("dtype":"F31","shape":[1],"data_offsets":[0,4])", 4, "unknown dtype \"F31\""},
           {R"("dtype":5,"shape":[1],"data_offsets":[0,4])", 4, "number where none"},
           {R"("shape":[1],"data_offsets":[0,4])", 4, "lacks its dtype"},
           {R"("dtype":"F32","data_offsets":[0,4])", 4, "lacks its dtype, shape"},
           {R"("dtype":"F32","shape":[1])", 4, "lacks"},
           {R"("dtype":"F32","shape":[1],"data_offsets":[0])", 4, "lacks"},
           {R"("dtype":"F32","shape":[1],"data_offsets":[0,4,8])", 4, "lacks"},
           {R"("dtype":"F32","shape":[-1],"data_offsets":[0,4])", 4, "negative"},
           {R"("dtype":"F32","shape":[1.5],"data_offsets":[0,4])", 4, "fraction"},
           {R"("dtype":"F32","shape":[1e0],"data_offsets":[0,4])", 4, "fraction"},
           {R"("dtype":"F32","shape":[18446744073709551615],"data_offsets":[0,4])", 4, "past 2^63"},
           {R"("dtype":"F32","shape":[1,1,1,1,1,1,1,1,1],"data_offsets":[0,4])", 4, "than 8 dims"},
           {R"("dtype":"F32","shape":[[1]],"data_offsets":[0,4])", 4, "list where none"},
           {R"("dtype":"F32","shape":["1"],"data_offsets":[0,4])", 4, "text where none"},
           {R"("dtype":"F32","shape":[1],"shape":[1],"data_offsets":[0,4])", 4, "twice"},
           {R"("dtype":"F32","dtype":"I32","shape":[1],"data_offsets":[0,4])", 4, "twice"},
           {R"("dtype":"F32","shape":[1],"data_offsets":[0,4],"extra":"x")", 4, "none belongs"},
           {R"("dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,4])", 4, "4 bytes"},
           {R"("dtype":"F32","shape":[4611686018427387905],"data_offsets":[0,4])", 4, "4 bytes"},
           {R"("dtype":"F32","shape":[2],"data_offsets":[0,4])", 4, "has 4 bytes"},
           {R"("dtype":"U8","shape":[1],"data_offsets":[0,4])", 4, "has 4 bytes"},
           {R"("dtype":"F32","shape":[1],"data_offsets":[4,0])", 4, "lies at [4, 0)"},
           {R"("dtype":"F32","shape":[0],"data_offsets":[4,4])", 4, "lies at"},
           {R"("dtype":"F32","shape":[2],"data_offsets":[0,8])", 4, "lies at [0, 8)"},
           {R"("dtype":"F32","shape":[1],"data_offsets":[4,8])", 8, "should begin at 0"},
           {R"("dtype":"F32","shape":[1],"data_offsets":[0,4])", 8, "4 bytes follow"},
           {R"("dtype":"F32","shape":[1],"data_offsets":[0,9223372036854775807])", 4, "lies at"}})
    EXPECT_TRUE(fails_with(open_record(c.record, c.bytes), c.message)) << c.record;
}

TEST_F(Safetensors, HolesOverlapsAndTwins) {
  auto two = [&](const char* a, const char* b, const char* name_b = "b") {
    return open_header(fmt::format(R"({{"a":{{"dtype":"U8","shape":[4],"data_offsets":[{}]}},)"
                                   R"("{}":{{"dtype":"U8","shape":[4],"data_offsets":[{}]}}}})",
                                   a, name_b, b),
                       8);
  };
  EXPECT_TRUE(succeeds(two("0,4", "4,8")));
  EXPECT_TRUE(succeeds(two("4,8", "0,4")));
  EXPECT_TRUE(fails_with(two("0,4", "0,4"), "\"b\" lies at [0, 4), should begin at 4"));
  EXPECT_TRUE(fails_with(two("0,4", "3,7"), "lies at [3, 7)"));
  EXPECT_TRUE(fails_with(two("0,3", "4,8"), "has 3 bytes"));
  EXPECT_TRUE(fails_with(two("0,4", "5,9"), "lies at [5, 9)"));
  EXPECT_TRUE(fails_with(two("0,4", "4,8", "a"), "\"a\" appears twice"));
  EXPECT_TRUE(fails_with(two("0,4", "4,8", ""), "empty name"));
  EXPECT_TRUE(fails_with(two("0,4", "0,4", "x\\n\\u001b[2J"), R"("x\n\u001b[2J" lies at)"));
}

TEST_F(Safetensors, OtherThanRegularFiles) {
  ASSERT_EQ(mkfifo((dir_ / "fifo").c_str(), 0600), 0);
  EXPECT_TRUE(fails_with(open_safetensors(dir_ / "fifo"), "not a regular file"));
  EXPECT_TRUE(fails_with(open_safetensors(dir_.path()), "not a regular file"));
  EXPECT_TRUE(fails_with(open_safetensors(dir_ / "none"), "cannot open"));
  // A file that claims a terabyte holds no data to read for it.
  ASSERT_TRUE(succeeds(write_file(dir_ / "sparse", file_of(kTwo, 12))));
  std::filesystem::resize_file(dir_ / "sparse", uint64_t{1} << 40);
  EXPECT_TRUE(fails_with(open_safetensors(dir_ / "sparse"), "bytes follow its last tensor"));
}

TEST_F(Safetensors, ManyTensorsAreRead) {
  std::string header = "{";
  for (int i = 0; i < 100'000; ++i)
    header += fmt::format(R"({}"layer.{}.w":{{"dtype":"U8","shape":[1],"data_offsets":[{},{}]}})",
                          i ? "," : "", i, i, i + 1);
  auto file = open_header(header + "}", 100'000);
  ASSERT_TRUE(succeeds(file));
  EXPECT_EQ(file->tensors.size(), 100'000u);
  EXPECT_TRUE(succeeds(open_header("{" + std::string(10'000'000, ' ') + "}", 0)));
}

}  // namespace
}  // namespace nibble
