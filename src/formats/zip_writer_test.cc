#include "formats/zip_writer.h"

#include <gtest/gtest.h>

#include "base/test_util.h"
#include "formats/zip.h"

namespace nibble {
namespace {

TEST(ZipWriter, CrcIsZips) {
  // The check value of CRC-32/ISO-HDLC, and the same text in two pieces.
  std::string_view text = "123456789";
  auto bytes = std::as_bytes(std::span(text));
  EXPECT_EQ(crc32(0, bytes), 0xCBF43926u);
  EXPECT_EQ(crc32(crc32(0, bytes.first(4)), bytes.subspan(4)), 0xCBF43926u);
}

TEST(ZipWriter, EntriesComeBackAligned) {
  TempFolder dir;
  std::string path = dir / "a.zip", big(1000, 'x');
  auto zip = ZipWriter::create(path);
  ASSERT_TRUE(zip);
  ASSERT_TRUE(zip->add("a/empty", ""));
  ASSERT_TRUE(zip->begin("a/pieces", 1000));
  ASSERT_TRUE(zip->write(std::as_bytes(std::span(big).first(1))));
  ASSERT_TRUE(zip->write(std::as_bytes(std::span(big).subspan(1))));
  ASSERT_TRUE(zip->end());
  ASSERT_TRUE(zip->finish());
  auto file = MappedFile::open(path);
  ASSERT_TRUE(file);
  auto entries = read_zip(**file);
  ASSERT_TRUE(entries) << entries.error().message;
  ASSERT_EQ(entries->size(), 2u);
  EXPECT_EQ((*entries)[0].name, "a/empty");
  EXPECT_EQ((*entries)[1].bytes.size(), 1000u);
  EXPECT_EQ(((*entries)[1].bytes.data() - (*file)->bytes().data()) % 64, 0);
  EXPECT_EQ((*entries)[1].bytes[999], std::byte{'x'});
}

}  // namespace
}  // namespace nibble
