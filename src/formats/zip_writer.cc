#include "formats/zip_writer.h"

#include <array>
#include <cstring>

namespace nibble {
namespace {

constexpr uint32_t kLocal = 0x04034b50, kDescriptor = 0x08074b50, kCentral = 0x02014b50;
constexpr uint32_t kEnd = 0x06054b50, kEnd64 = 0x06064b50, kLocator64 = 0x07064b50;
constexpr uint32_t kSaturated = 0xFFFFFFFF;
constexpr uint16_t kVersion = 45;       // 4.5: zip64
constexpr uint16_t kFlags = 0x0808;     // CRC and sizes follow the data; UTF-8 names
constexpr uint16_t kDate = 1 << 5 | 1;  // the first day that the format knows
constexpr uint16_t kPadding = 0x4246;   // an extra field that readers pass over
constexpr uint64_t kAlignment = 64, kMost16 = 0xFFFF;

// Little-endian fields one after another.
class Record {
 public:
  Record& u16(uint64_t v) { return put(static_cast<uint16_t>(v)); }
  Record& u32(uint64_t v) { return put(static_cast<uint32_t>(v)); }
  Record& u64(uint64_t v) { return put(v); }
  Record& text(std::string_view v) {
    bytes_ += v;
    return *this;
  }
  const std::string& bytes() const { return bytes_; }

 private:
  template <class T>
  Record& put(T v) {
    char raw[sizeof v];
    std::memcpy(raw, &v, sizeof v);
    bytes_.append(raw, sizeof v);
    return *this;
  }
  std::string bytes_;
};

bool is_large(uint64_t v) { return v >= kSaturated; }

// Slicing by 8: table t holds the effect of a byte that t others follow.
constexpr auto kTables = [] {
  std::array<std::array<uint32_t, 256>, 8> out{};
  for (uint32_t i = 0; i < 256; ++i) {
    uint32_t c = i;
    for (int bit = 0; bit < 8; ++bit) c = c & 1 ? c >> 1 ^ 0xEDB88320 : c >> 1;
    out[0][i] = c;
  }
  for (size_t t = 1; t < 8; ++t)
    for (size_t i = 0; i < 256; ++i) out[t][i] = out[t - 1][i] >> 8 ^ out[0][out[t - 1][i] & 255];
  return out;
}();

}  // namespace

uint32_t crc32(uint32_t crc, std::span<const std::byte> bytes) {
  crc = ~crc;
  const auto* p = reinterpret_cast<const uint8_t*>(bytes.data());
  size_t n = bytes.size();
  for (; n >= 8; n -= 8, p += 8) {
    uint64_t word;
    std::memcpy(&word, p, sizeof word);
    word ^= crc;
    crc = 0;
    for (size_t i = 0; i < 8; ++i) crc ^= kTables[7 - i][word >> (8 * i) & 255];
  }
  for (; n > 0; --n, ++p) crc = crc >> 8 ^ kTables[0][(crc ^ *p) & 255];
  return ~crc;
}

Result<ZipWriter> ZipWriter::create(const std::string& path) {
  return ZipWriter(NB_TRY(AtomicFile::create(path)));
}

Status ZipWriter::begin(const std::string& name, int64_t bytes) {
  NB_CHECK(left_ == 0);
  entries_.push_back({name, static_cast<uint64_t>(bytes), at(), 0});
  left_ = entries_.back().bytes;
  bool large = is_large(left_);
  Record sizes;
  if (large) sizes.u16(1).u16(16).u64(left_).u64(left_);
  uint64_t begin = at() + 30 + name.size() + sizes.bytes().size() + 4;
  uint64_t padding = (kAlignment - begin % kAlignment) % kAlignment;
  sizes.u16(kPadding).u16(padding).text(std::string(padding, 'Z'));
  uint64_t stated = large ? kSaturated : left_;
  Record r;
  r.u32(kLocal).u16(kVersion).u16(kFlags).u16(0).u16(0).u16(kDate).u32(0).u32(stated).u32(stated);
  r.u16(name.size()).u16(sizes.bytes().size()).text(name).text(sizes.bytes());
  return file_.write(r.bytes());
}

Status ZipWriter::write(std::span<const std::byte> piece) {
  NB_CHECK(piece.size() <= left_);
  left_ -= piece.size();
  entries_.back().crc = crc32(entries_.back().crc, piece);
  return file_.write(piece);
}

Status ZipWriter::end() {
  NB_CHECK(left_ == 0);
  const Entry& e = entries_.back();
  Record r;
  r.u32(kDescriptor).u32(e.crc);
  if (is_large(e.bytes))
    r.u64(e.bytes).u64(e.bytes);
  else
    r.u32(e.bytes).u32(e.bytes);
  return file_.write(r.bytes());
}

Status ZipWriter::add(const std::string& name, std::string_view bytes) {
  NB_OK(begin(name, static_cast<int64_t>(bytes.size())));
  NB_OK(write(std::as_bytes(std::span(bytes))));
  return end();
}

Status ZipWriter::finish() {
  uint64_t directory = at();
  for (const Entry& e : entries_) {
    Record wide;  // those that 32 bits do not hold, in this order
    if (is_large(e.bytes)) wide.u64(e.bytes).u64(e.bytes);
    if (is_large(e.offset)) wide.u64(e.offset);
    Record extra;
    if (!wide.bytes().empty()) extra.u16(1).u16(wide.bytes().size()).text(wide.bytes());
    uint64_t size = is_large(e.bytes) ? kSaturated : e.bytes;
    Record r;
    r.u32(kCentral).u16(kVersion).u16(kVersion).u16(kFlags).u16(0).u16(0).u16(kDate).u32(e.crc);
    r.u32(size).u32(size).u16(e.name.size()).u16(extra.bytes().size()).u16(0).u16(0).u16(0).u32(0);
    r.u32(is_large(e.offset) ? kSaturated : e.offset).text(e.name).text(extra.bytes());
    NB_OK(file_.write(r.bytes()));
  }
  uint64_t size = at() - directory, count = entries_.size();
  bool large = is_large(directory) || is_large(size) || count >= kMost16;
  Record r;
  if (large) {
    r.u32(kEnd64).u64(44).u16(kVersion).u16(kVersion).u32(0).u32(0).u64(count).u64(count);
    r.u64(size).u64(directory);
    r.u32(kLocator64).u32(0).u64(at()).u32(1);
  }
  uint64_t few = large ? kMost16 : count;
  r.u32(kEnd).u16(0).u16(0).u16(few).u16(few);
  r.u32(large ? kSaturated : size).u32(large ? kSaturated : directory).u16(0);
  NB_OK(file_.write(r.bytes()));
  return file_.commit();
}

}  // namespace nibble
