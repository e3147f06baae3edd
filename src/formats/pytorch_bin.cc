#include "formats/pytorch_bin.h"

#include <cstring>
#include <unordered_map>
#include <unordered_set>

#include "base/checked.h"
#include "base/json.h"
#include "base/log.h"
#include "formats/pickle.h"
#include "formats/zip.h"

namespace nibble {
namespace {

constexpr size_t kLargestPickle = 64 << 20;

std::string_view as_text(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

// The folder inside the zip file that everything lies in, and its entries by the rest of the name.
struct Archive {
  std::shared_ptr<MappedFile> file;
  std::unordered_map<std::string, std::span<const std::byte>> entries;
};

Result<Archive> open_archive(const std::string& path) {
  Archive out{NB_TRY(MappedFile::open(path)), {}};
  std::string_view bytes = as_text(out.file->bytes());
  if (!bytes.starts_with("PK"))
    return fail(
        "{}: is no zip file; torch before 1.6 wrote another format, which nibble does not read: "
        "save "
        "the model again with a newer torch, or as safetensors",
        path);
  for (ZipEntry& entry : NB_TRY(read_zip(*out.file))) {
    size_t slash = entry.name.find('/');
    if (slash == entry.name.npos) continue;
    std::string rest = entry.name.substr(slash + 1);
    if (!out.entries.emplace(rest, entry.bytes).second)
      return fail("{}: has two entries {}", path, in_quotes(rest));
  }
  auto order = out.entries.find("byteorder");
  if (order != out.entries.end() && as_text(order->second) != "little")
    return fail("{}: its numbers are big-endian, which nibble does not read", path);
  return out;
}

bool is_contiguous(const PickledTensor& t) {
  int64_t expected = 1;
  for (size_t i = t.shape.size(); i-- > 0;) {
    if (t.shape[i] != 1 && t.strides[i] != expected) return false;
    expected *= t.shape[i];  // bounded: the product was checked
  }
  return true;
}

// One more than the place of the last element in the storage; 0 for an empty tensor.
std::optional<int64_t> extent_of(const PickledTensor& t) {
  int64_t last = t.offset;
  for (size_t i = 0; i < t.shape.size(); ++i) {
    if (t.shape[i] == 0) return 0;
    auto reach = checked_mul(t.shape[i] - 1, t.strides[i]);
    auto next = reach ? checked_add(last, *reach) : std::nullopt;
    if (!next) return std::nullopt;
    last = *next;
  }
  return checked_add(last, 1);
}

// The elements in C order. Every place is inside the storage, as the extent says.
std::vector<std::byte> gather(const PickledTensor& t, std::span<const std::byte> storage,
                              int64_t elements) {
  auto size = static_cast<size_t>(dtype_size(t.dtype));
  std::vector<std::byte> out(static_cast<size_t>(elements) * size);
  std::vector<int64_t> index(t.shape.size(), 0);
  int64_t place = t.offset;
  for (int64_t n = 0; n < elements; ++n) {
    std::memcpy(out.data() + static_cast<size_t>(n) * size,
                storage.data() + static_cast<size_t>(place) * size, size);
    for (size_t d = t.shape.size(); d-- > 0;) {
      place += t.strides[d];
      if (++index[d] < t.shape[d]) break;
      place -= t.shape[d] * t.strides[d];
      index[d] = 0;
    }
  }
  return out;
}

class Loader {
 public:
  Loader(const std::string& path, Archive archive) : path_(path), archive_(std::move(archive)) {}

  Result<std::vector<NamedTensor>> run() {
    auto pickle = archive_.entries.find("data.pkl");
    if (pickle == archive_.entries.end())
      return fail("{}: holds no data.pkl, so it is no file of torch.save", path_);
    if (pickle->second.size() > kLargestPickle)
      return fail("{}: its pickle has {} bytes, more than {}", path_, pickle->second.size(),
                  kLargestPickle);
    std::vector<NamedTensor> out;
    std::unordered_set<std::string> names;
    for (const PickledTensor& t : NB_TRY(read_pickled_tensors(as_text(pickle->second), path_))) {
      if (!names.insert(t.name).second) return wrong(t, "comes twice");
      out.push_back({t.name, NB_TRY(view_of(t))});
    }
    if (out.empty()) return fail("{}: holds no tensors", path_);
    if (copies_ > 0)
      note("{}: {} tensors are not contiguous and are copied, {:.1f} MB", path_, copies_,
           static_cast<double>(copied_bytes_) / 1e6);
    return out;
  }

 private:
  template <class... A>
  std::unexpected<Error> wrong(const PickledTensor& t, fmt::format_string<A...> form,
                               A&&... args) const {
    return fail("{}: tensor {} {}", path_, in_quotes(t.name),
                fmt::format(form, std::forward<A>(args)...));
  }

  Result<TensorView> view_of(const PickledTensor& t) {
    auto entry = archive_.entries.find("data/" + t.storage);
    if (entry == archive_.entries.end()) return wrong(t, "has its data in no entry of the file");
    std::span<const std::byte> storage = entry->second;
    int64_t size = dtype_size(t.dtype);
    if (t.storage_bytes != static_cast<int64_t>(storage.size()))
      return wrong(t, "has a storage of {} bytes, should have {}", storage.size(), t.storage_bytes);
    auto elements = checked_product(t.shape);
    auto extent = extent_of(t);
    if (!elements || !extent || *extent > t.storage_bytes / size)
      return wrong(t, "of shape {} reaches beyond its storage of {} bytes", shape_text(t.shape),
                   t.storage_bytes);
    if (*elements == 0) return TensorView{t.dtype, t.shape, {}, archive_.file, archive_.file};
    if (is_contiguous(t)) {
      auto bytes = storage.subspan(static_cast<size_t>(t.offset * size),
                                   static_cast<size_t>(*elements * size));
      return TensorView{t.dtype, t.shape, bytes, archive_.file, archive_.file};
    }
    // Strides of 0 would make a large tensor of a small file.
    if (*elements > t.storage_bytes / size)
      return wrong(t, "repeats its {} stored elements to {}", t.storage_bytes / size, *elements);
    ++copies_;
    copied_bytes_ += *elements * size;
    return own_bytes(t.dtype, t.shape, gather(t, storage, *elements));
  }

  const std::string& path_;
  Archive archive_;
  int64_t copies_ = 0, copied_bytes_ = 0;
};

}  // namespace

Result<std::vector<NamedTensor>> open_pytorch_bin(const std::string& path) {
  return Loader(path, NB_TRY(open_archive(path))).run();
}

}  // namespace nibble
