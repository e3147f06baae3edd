#include "formats/gguf.h"

#include <cstring>
#include <unordered_set>

#include "base/checked.h"
#include "base/json.h"

namespace nibble {
namespace {

enum class Tag : uint32_t {
  kU8,
  kI8,
  kU16,
  kI16,
  kU32,
  kI32,
  kF32,
  kBool,
  kText,
  kArray,
  kU64,
  kI64,
  kF64
};

class Reader {
 public:
  explicit Reader(std::shared_ptr<MappedFile> file)
      : file_(std::move(file)), bytes_(file_->bytes()) {}

  Result<GgufFile> run() {
    GgufFile out;
    out.file = file_;
    auto [tensors, keys] = NB_TRY(head());
    for (int64_t i = 0; i < keys; ++i) NB_OK(entry(out));
    int64_t alignment = NB_TRY(alignment_of(out));
    std::vector<uint64_t> offsets;
    for (int64_t i = 0; i < tensors; ++i) NB_OK(tensor(out, offsets));
    NB_OK(place(out, offsets, alignment));
    return out;
  }

 private:
  template <class... A>
  std::unexpected<Error> wrong(fmt::format_string<A...> form, A&&... args) const {
    return fail("{}: {}", file_->path(), fmt::format(form, std::forward<A>(args)...));
  }
  uint64_t left() const { return bytes_.size() - at_; }

  template <class T>
  Result<T> number() {
    if (left() < sizeof(T)) return wrong("is cut off at byte {}", bytes_.size());
    T value;
    std::memcpy(&value, bytes_.data() + at_, sizeof value);
    at_ += sizeof value;
    return value;
  }
  Result<std::string_view> text() {
    uint64_t size = NB_TRY(number<uint64_t>());
    if (size > left())
      return wrong("is cut off at byte {}, or a text in it has a wrong length", bytes_.size());
    std::string_view out(reinterpret_cast<const char*>(bytes_.data()) + at_, size);
    at_ += size;
    return out;
  }

  // -> the numbers of tensors and of metadata entries.
  Result<std::pair<int64_t, int64_t>> head() {
    if (left() < 4 || std::memcmp(bytes_.data(), "GGUF", 4) != 0) return wrong("is no GGUF file");
    at_ = 4;
    auto version = NB_TRY(number<uint32_t>());
    if (version != 0 && (version & 0xFFFF) == 0)
      return wrong("is a big-endian GGUF file, which nibble does not read");
    if (version != 2 && version != 3)
      return wrong("is GGUF version {}; nibble reads 2 and 3, convert it again", version);
    auto tensors = NB_TRY(number<uint64_t>()), keys = NB_TRY(number<uint64_t>());
    constexpr uint64_t kLeastTensor = 8 + 4 + 8 + 4 + 8, kLeastEntry = 8 + 1 + 4 + 1;
    if (tensors > left() / kLeastTensor || keys > left() / kLeastEntry)
      return wrong("promises {} tensors and {} metadata entries, more than it can hold", tensors,
                   keys);
    return std::pair(static_cast<int64_t>(tensors), static_cast<int64_t>(keys));
  }

  Status entry(GgufFile& out) {
    std::string key(NB_TRY(text()));
    if (key.empty()) return wrong("has a metadata entry without a name");
    key_ = key;
    GgufValue value = NB_TRY(this->value(NB_TRY(number<uint32_t>())));
    if (!out.metadata.emplace(std::move(key), std::move(value)).second)
      return wrong("has the metadata entry {} twice", in_quotes(key_));
    return {};
  }

  Result<GgufValue> value(uint32_t tag) {
    switch (static_cast<Tag>(tag)) {
      case Tag::kF32:
      case Tag::kF64:
        return GgufValue(NB_TRY(real(tag)));
      case Tag::kBool:
        return GgufValue(NB_TRY(boolean()));
      case Tag::kText:
        return GgufValue(NB_TRY(text()));
      case Tag::kArray:
        return GgufValue(NB_TRY(array()));
      default:
        return GgufValue(NB_TRY(integer(tag)));
    }
  }

  Result<int64_t> integer(uint32_t tag) {
    switch (static_cast<Tag>(tag)) {
      case Tag::kU8:
        return NB_TRY(number<uint8_t>());
      case Tag::kI8:
        return NB_TRY(number<int8_t>());
      case Tag::kU16:
        return NB_TRY(number<uint16_t>());
      case Tag::kI16:
        return NB_TRY(number<int16_t>());
      case Tag::kU32:
        return NB_TRY(number<uint32_t>());
      case Tag::kI32:
        return NB_TRY(number<int32_t>());
      case Tag::kI64:
        return number<int64_t>();
      case Tag::kU64: {
        auto value = NB_TRY(number<uint64_t>());
        if (value > uint64_t{INT64_MAX})
          return wrong("the metadata entry {} is {}", in_quotes(key_), value);
        return static_cast<int64_t>(value);
      }
      default:
        return wrong("the metadata entry {} has the unknown type {}", in_quotes(key_), tag);
    }
  }
  Result<double> real(uint32_t tag) {
    if (static_cast<Tag>(tag) == Tag::kF64) return number<double>();
    return double{NB_TRY(number<float>())};
  }
  Result<bool> boolean() {
    auto value = NB_TRY(number<uint8_t>());
    if (value > 1) return wrong("the metadata entry {} is neither true nor false", in_quotes(key_));
    return value == 1;
  }

  Result<GgufArray> array() {
    auto tag = NB_TRY(number<uint32_t>());
    auto count = NB_TRY(number<uint64_t>());
    if (static_cast<Tag>(tag) == Tag::kArray)
      return wrong("the metadata entry {} is an array of arrays", in_quotes(key_));
    if (count > left())
      return wrong("the metadata entry {} has {} items, more than the file can hold",
                   in_quotes(key_), count);
    auto read = [&]<class T>(std::vector<T> items, auto one) -> Result<GgufArray> {
      for (uint64_t i = 0; i < count; ++i) items.push_back(NB_TRY(one()));
      return GgufArray(std::move(items));
    };
    switch (static_cast<Tag>(tag)) {
      case Tag::kF32:
      case Tag::kF64:
        return read(std::vector<double>(), [&] { return real(tag); });
      case Tag::kBool:
        return read(std::vector<bool>(), [&] { return boolean(); });
      case Tag::kText:
        return read(std::vector<std::string_view>(), [&] { return text(); });
      default:
        return read(std::vector<int64_t>(), [&] { return integer(tag); });
    }
  }

  Result<int64_t> alignment_of(const GgufFile& out) const {
    constexpr int64_t kDefault = 32, kMost = 1 << 20;
    const int64_t* value = out.find<int64_t>("general.alignment");
    if (!value) return kDefault;
    if (*value < 1 || *value > kMost || (*value & (*value - 1)) != 0)
      return wrong("its alignment is {}, should be a power of two", *value);
    return *value;
  }

  Status tensor(GgufFile& out, std::vector<uint64_t>& offsets) {
    GgufTensor t;
    t.name = NB_TRY(text());
    if (t.name.empty()) return wrong("has a tensor without a name");
    if (!names_.insert(t.name).second) return wrong("has the tensor {} twice", in_quotes(t.name));
    auto dims = NB_TRY(number<uint32_t>());
    constexpr uint32_t kMostDims = 4;
    if (dims > kMostDims) return wrong("tensor {} has {} dimensions", in_quotes(t.name), dims);
    for (uint32_t i = 0; i < dims; ++i) {
      auto size = NB_TRY(number<int64_t>());
      if (size < 0) return wrong("tensor {} has a dimension of {}", in_quotes(t.name), size);
      t.shape.insert(t.shape.begin(), size);  // the file has the innermost first
    }
    auto id = NB_TRY(number<uint32_t>());
    t.type = find_ggml_type(id);
    if (!t.type)
      return wrong("tensor {} is of the type {} {}, which nibble does not read", in_quotes(t.name),
                   id, ggml_type_name(id));
    int64_t row = t.shape.empty() ? 1 : t.shape.back();
    if (row % t.type->block != 0)
      return wrong("tensor {} has rows of {}, which are no whole blocks of {}", in_quotes(t.name),
                   row, t.type->name);
    offsets.push_back(NB_TRY(number<uint64_t>()));
    out.tensors.push_back(std::move(t));
    return {};
  }

  // The data begins at the next aligned byte; each tensor where the one before ends, aligned.
  Status place(GgufFile& out, const std::vector<uint64_t>& offsets, int64_t alignment) const {
    auto align = [alignment](int64_t at) { return ceil_div(at, alignment) * alignment; };
    int64_t begin = align(static_cast<int64_t>(at_)), size = static_cast<int64_t>(bytes_.size()),
            at = 0;
    for (size_t i = 0; i < out.tensors.size(); ++i) {
      GgufTensor& t = out.tensors[i];
      auto elements = checked_product(t.shape);
      auto length = elements ? checked_mul(*elements / t.type->block, t.type->bytes) : std::nullopt;
      if (offsets[i] != static_cast<uint64_t>(at))
        return wrong("tensor {} lies at {}, should lie at {}", in_quotes(t.name), offsets[i], at);
      if (!length || begin > size || *length > size - begin - at)
        return wrong("tensor {} reaches beyond the end of the file; is it cut off?",
                     in_quotes(t.name));
      t.bytes = bytes_.subspan(static_cast<size_t>(begin + at), static_cast<size_t>(*length));
      at = std::min(align(at + *length), size - begin);  // the last one needs no padding
    }
    return {};
  }

  std::shared_ptr<MappedFile> file_;
  std::span<const std::byte> bytes_;
  size_t at_ = 0;
  std::string key_;
  std::unordered_set<std::string> names_;
};

}  // namespace

Result<GgufFile> open_gguf(const std::string& path) {
  return Reader(NB_TRY(MappedFile::open(path))).run();
}

void gguf_to_float(const GgufTensor& tensor, float* out) {
  tensor.type->to_float(tensor.bytes.data(),
                        static_cast<int64_t>(tensor.bytes.size()) / tensor.type->bytes, out);
}

}  // namespace nibble
