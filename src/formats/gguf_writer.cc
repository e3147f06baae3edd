#include "formats/gguf_writer.h"

#include <algorithm>
#include <cstring>

#include "base/checked.h"
#include "base/file.h"
#include "base/json.h"
#include "formats/gguf_model.h"

namespace nibble {
namespace {

constexpr int64_t kAlignment = 32;  // what loaders assume where general.alignment is absent
constexpr size_t kLongestName = 63;

// Numbers of the container's value types.
constexpr uint32_t kU16 = 2, kU32 = 4, kI32 = 5, kF32 = 6, kBool = 7, kString = 8, kArray = 9;

int64_t padded(int64_t bytes) { return ceil_div(bytes, kAlignment) * kAlignment; }

template <class T>
void append(std::string& out, T value) {
  out.append(reinterpret_cast<const char*>(&value), sizeof value);
}

std::string header(const GgufMetadata& metadata, std::span<const PendingGgufTensor> tensors) {
  constexpr uint32_t kVersion = 3;
  std::string out = "GGUF";
  append(out, kVersion);
  append(out, static_cast<uint64_t>(tensors.size()));
  append(out, static_cast<uint64_t>(metadata.count()));
  out += metadata.bytes();
  int64_t at = 0;
  for (const PendingGgufTensor& t : tensors) {
    append(out, static_cast<uint64_t>(t.name.size()));
    out += t.name;
    append(out, static_cast<uint32_t>(t.shape.size()));
    for (auto dim = t.shape.rbegin(); dim != t.shape.rend(); ++dim)
      append(out, static_cast<uint64_t>(*dim));
    append(out, t.type->id);
    append(out, static_cast<uint64_t>(at));
    at += padded(t.row_bytes() * t.row_count());
  }
  out.resize(static_cast<size_t>(padded(static_cast<int64_t>(out.size()))));
  return out;
}

Status write_rows(AtomicFile& file, const PendingGgufTensor& t) {
  constexpr int64_t kPiece = 4 << 20;  // bytes
  int64_t rows = t.row_count(), size = t.row_bytes();
  int64_t most = std::clamp<int64_t>(kPiece / size, 1, std::max<int64_t>(rows, 1));
  for (int64_t at = 0; at < rows; at += most) {
    int64_t count = std::min(most, rows - at);
    auto bytes = static_cast<size_t>(count * size);
    auto piece = std::make_shared_for_overwrite<std::byte[]>(bytes);
    NB_OK(t.rows(at, count, piece.get()));
    NB_OK(file.write({piece.get(), bytes}, piece));
  }
  std::string zeros(static_cast<size_t>(padded(rows * size) - rows * size), '\0');
  return file.write(zeros);
}

}  // namespace

template <class T>
void GgufMetadata::put(T value) {
  append(bytes_, value);
}

void GgufMetadata::put_text(std::string_view value) {
  put(static_cast<uint64_t>(value.size()));
  bytes_ += value;
}

void GgufMetadata::begin(const std::string& key, uint32_t tag) {
  put_text(key);
  put(tag);
  ++count_;
}

void GgufMetadata::begin_array(const std::string& key, uint32_t tag, uint64_t count) {
  begin(key, kArray);
  put(tag);
  put(count);
}

void GgufMetadata::text(const std::string& key, std::string_view value) {
  begin(key, kString);
  put_text(value);
}
void GgufMetadata::flag(const std::string& key, bool value) {
  begin(key, kBool);
  put(static_cast<uint8_t>(value));
}
void GgufMetadata::number(const std::string& key, int64_t value) {
  begin(key, kU32);
  put(static_cast<uint32_t>(value));
}
void GgufMetadata::small(const std::string& key, int64_t value) {
  begin(key, kU16);
  put(static_cast<uint16_t>(value));
}
void GgufMetadata::signed_number(const std::string& key, int64_t value) {
  begin(key, kI32);
  put(static_cast<int32_t>(value));
}
void GgufMetadata::real(const std::string& key, double value) {
  begin(key, kF32);
  put(static_cast<float>(value));
}
void GgufMetadata::texts(const std::string& key, std::span<const std::string> values) {
  begin_array(key, kString, values.size());
  for (const std::string& v : values) put_text(v);
}
void GgufMetadata::integers(const std::string& key, std::span<const int32_t> values) {
  begin_array(key, kI32, values.size());
  for (int32_t v : values) put(v);
}
void GgufMetadata::reals(const std::string& key, std::span<const float> values) {
  begin_array(key, kF32, values.size());
  for (float v : values) put(v);
}

int64_t PendingGgufTensor::row_count() const {
  int64_t rows = 1;
  for (size_t i = 0; i + 1 < shape.size(); ++i) rows *= shape[i];
  return rows;
}

Status check_gguf_names(std::span<const PendingGgufTensor> tensors, const std::string& path) {
  std::unordered_set<std::string> seen;
  for (const PendingGgufTensor& t : tensors) {
    if (t.name.empty() || t.name.size() > kLongestName)
      return fail("{}: the tensor name {} has {} bytes; GGUF takes 1 to {}", path,
                  in_quotes(t.name), t.name.size(), kLongestName);
    if (!seen.insert(t.name).second)
      return fail("{}: two tensors named {}", path, in_quotes(t.name));
  }
  return {};
}

Status write_gguf(const std::string& path, const GgufMetadata& metadata,
                  std::span<const PendingGgufTensor> tensors) {
  NB_OK(check_gguf_names(tensors, path));
  std::string head = header(metadata, tensors);
  auto total = static_cast<int64_t>(head.size());
  for (const PendingGgufTensor& t : tensors) {
    NB_CHECK(t.shape.back() % t.type->block == 0);
    total += padded(t.row_bytes() * t.row_count());
  }
  NB_OK(check_free_space(path, total));
  auto file = NB_TRY(AtomicFile::create(path));
  NB_OK(file.write(head));
  for (const PendingGgufTensor& t : tensors) NB_OK(write_rows(file, t));
  return file.commit();
}

namespace {

// Where each part ends, as a number of tensors.
std::vector<size_t> part_ends(std::span<const PendingGgufTensor> tensors, int64_t part_bytes) {
  std::vector<size_t> out;
  int64_t size = 0;
  for (size_t i = 0; i < tensors.size(); ++i) {
    int64_t own = padded(tensors[i].row_bytes() * tensors[i].row_count());
    if (part_bytes > 0 && size > 0 && size + own > part_bytes) {
      out.push_back(i);
      size = 0;
    }
    size += own;
  }
  out.push_back(tensors.size());
  return out;
}

}  // namespace

Result<std::string> write_gguf_parts(const std::string& folder, const std::string& name,
                                     const GgufMetadata& metadata,
                                     std::span<const PendingGgufTensor> tensors,
                                     int64_t part_bytes) {
  std::vector<size_t> ends = part_ends(tensors, part_bytes);
  if (ends.size() == 1) {
    NB_OK(write_gguf(folder + "/" + name, metadata, tensors));
    return name;
  }
  NB_OK(check_gguf_names(tensors, folder));
  auto count = static_cast<int64_t>(ends.size());
  constexpr int64_t kMost = 65535;  // split.no is 16 bits wide
  if (count > kMost)
    return fail("{}: parts of {} bytes are {}, GGUF counts to {}", folder, part_bytes, count,
                kMost);
  for (size_t i = 0, begin = 0; i < ends.size(); begin = ends[i++]) {
    GgufMetadata own = i == 0 ? metadata : GgufMetadata{};
    own.small("split.no", static_cast<int64_t>(i));
    own.small("split.count", count);
    own.signed_number("split.tensors.count", static_cast<int64_t>(tensors.size()));
    NB_OK(write_gguf(folder + "/" + gguf_part_name(name, static_cast<int64_t>(i) + 1, count), own,
                     tensors.subspan(begin, ends[i] - begin)));
  }
  return gguf_part_name(name, 1, count);
}

}  // namespace nibble
