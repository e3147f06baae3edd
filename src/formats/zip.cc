#include "formats/zip.h"

#include <algorithm>
#include <cstring>
#include <unordered_set>

#include "base/json.h"

namespace nibble {
namespace {

constexpr uint32_t kLocal = 0x04034b50, kCentral = 0x02014b50, kEnd = 0x06054b50;
constexpr uint32_t kEnd64 = 0x06064b50, kLocator64 = 0x07064b50;
constexpr uint64_t kSaturated32 = 0xFFFFFFFF, kSaturated16 = 0xFFFF;

class Zip {
 public:
  explicit Zip(const MappedFile& file) : file_(file), bytes_(file.bytes()) {}

  Result<std::vector<ZipEntry>> run() {
    NB_OK(find_directory());
    std::vector<ZipEntry> entries;
    std::unordered_set<std::string> names;
    uint64_t at = directory_;
    for (uint64_t i = 0; i < count_; ++i) {
      ZipEntry entry = NB_TRY(central(at));
      if (!names.insert(entry.name).second)
        return wrong("has two entries {}", in_quotes(entry.name));
      entries.push_back(std::move(entry));
    }
    NB_OK(check_overlap(entries));
    return entries;
  }

 private:
  template <class... A>
  std::unexpected<Error> wrong(fmt::format_string<A...> form, A&&... args) const {
    return fail("{}: {}", file_.path(), fmt::format(form, std::forward<A>(args)...));
  }
  bool has(uint64_t at, uint64_t size) const {
    return at <= bytes_.size() && size <= bytes_.size() - at;
  }
  template <class T>
  T get(uint64_t at) const {
    T value;
    std::memcpy(&value, bytes_.data() + at, sizeof value);
    return value;
  }

  // The end record stands last, before a comment of at most 65535 bytes.
  Status find_directory() {
    constexpr uint64_t kEndSize = 22, kLongestComment = 65535;
    uint64_t size = bytes_.size();
    if (size < kEndSize) return wrong("{} bytes are too few for a zip file", size);
    uint64_t lowest = size - std::min(size, kEndSize + kLongestComment), at = size - kEndSize;
    while (get<uint32_t>(at) != kEnd) {
      if (at == lowest) return wrong("is no zip file, or is cut off");
      --at;
    }
    count_ = get<uint16_t>(at + 10);
    directory_ = get<uint32_t>(at + 16);
    uint64_t bytes = get<uint32_t>(at + 12);
    bool large = count_ == kSaturated16 || directory_ == kSaturated32 || bytes == kSaturated32;
    if (large && at >= 20 && get<uint32_t>(at - 20) == kLocator64) {
      uint64_t end = get<uint64_t>(at - 12);
      if (!has(end, 56) || get<uint32_t>(end) != kEnd64) return wrong("has a broken zip64 end");
      count_ = get<uint64_t>(end + 32);
      bytes = get<uint64_t>(end + 40);
      directory_ = get<uint64_t>(end + 48);
    }
    constexpr uint64_t kLeastEntry = 46;
    if (!has(directory_, bytes) || count_ > bytes / kLeastEntry)
      return wrong("its zip directory lies outside the file; is it cut off?");
    return {};
  }

  // Where 32 bits do not do, the extra field 1 has the sizes and the offset, in that order.
  Status widen(uint64_t at, uint64_t size, uint64_t* stored, uint64_t* plain, uint64_t* offset) {
    for (uint64_t end = at + size; at + 4 <= end;) {
      uint64_t kind = get<uint16_t>(at), length = get<uint16_t>(at + 2);
      uint64_t field = at + 4, stop = field + length;
      if (stop > end) return wrong("has a broken extra field");
      for (uint64_t* value : {plain, stored, offset}) {
        if (kind != 1 || *value != kSaturated32) continue;
        if (field + 8 > stop) return wrong("has a zip64 field that is too short");
        *value = get<uint64_t>(field);
        field += 8;
      }
      at = stop;
    }
    return {};
  }

  // The entry whose directory record begins at `at`, which then is the next one's.
  Result<ZipEntry> central(uint64_t& at) {
    if (!has(at, 46) || get<uint32_t>(at) != kCentral) return wrong("has a broken zip directory");
    uint64_t name = get<uint16_t>(at + 28), extra = get<uint16_t>(at + 30);
    uint64_t comment = get<uint16_t>(at + 32);
    if (!has(at + 46, name + extra + comment)) return wrong("has a broken zip directory");
    ZipEntry entry;
    entry.name.assign(reinterpret_cast<const char*>(bytes_.data()) + at + 46, name);
    if (get<uint16_t>(at + 8) & 1) return wrong("the entry {} is encrypted", in_quotes(entry.name));
    if (get<uint16_t>(at + 10) != 0)
      return wrong("the entry {} is compressed, which torch never does", in_quotes(entry.name));
    uint64_t stored = get<uint32_t>(at + 20), plain = get<uint32_t>(at + 24);
    uint64_t offset = get<uint32_t>(at + 42);
    NB_OK(widen(at + 46 + name, extra, &stored, &plain, &offset));
    if (stored != plain) return wrong("the entry {} has two sizes", in_quotes(entry.name));
    if (!has(offset, 30) || get<uint32_t>(offset) != kLocal)
      return wrong("the entry {} lies outside the file; is it cut off?", in_quotes(entry.name));
    uint64_t begin = offset + 30 + get<uint16_t>(offset + 26) + get<uint16_t>(offset + 28);
    if (!has(begin, plain))
      return wrong("the entry {} lies outside the file; is it cut off?", in_quotes(entry.name));
    entry.bytes = bytes_.subspan(begin, plain);
    at += 46 + name + extra + comment;
    return entry;
  }

  Status check_overlap(const std::vector<ZipEntry>& entries) const {
    std::vector<const ZipEntry*> order;
    for (const ZipEntry& e : entries)
      if (!e.bytes.empty()) order.push_back(&e);
    std::sort(order.begin(), order.end(), [](const ZipEntry* a, const ZipEntry* b) {
      return a->bytes.data() < b->bytes.data();
    });
    for (size_t i = 1; i < order.size(); ++i)
      if (order[i - 1]->bytes.data() + order[i - 1]->bytes.size() > order[i]->bytes.data())
        return wrong("the entries {} and {} overlap", in_quotes(order[i - 1]->name),
                     in_quotes(order[i]->name));
    return {};
  }

  const MappedFile& file_;
  std::span<const std::byte> bytes_;
  uint64_t directory_ = 0, count_ = 0;
};

}  // namespace

Result<std::vector<ZipEntry>> read_zip(const MappedFile& file) { return Zip(file).run(); }

}  // namespace nibble
