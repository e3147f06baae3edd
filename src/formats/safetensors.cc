#include "formats/safetensors.h"

#include <algorithm>
#include <unordered_set>

#include "base/checked.h"
#include "base/json.h"

namespace nibble {
namespace {

constexpr int64_t kMaxHeader = 100'000'000;
constexpr size_t kMaxRank = 8;

struct Record {
  std::string name;
  std::optional<DType> dtype;
  std::optional<std::vector<int64_t>> shape, offsets;
};

// Takes exactly the grammar of a header from the JSON parser's events. A document tree of a header
// with 100,000 tensors would cost twenty times the memory and the time.
class HeaderReader : public nlohmann::json_sax<Json> {
 public:
  bool null() override { return refuse("has a null"); }
  bool boolean(bool) override { return refuse("has a true or false"); }
  bool number_float(double, const std::string&) override { return refuse("has a fraction"); }
  bool binary(Json::binary_t&) override { return false; }
  bool number_integer(int64_t) override { return refuse("has a negative number"); }
  bool number_unsigned(uint64_t v) override {
    if (!list_) return refuse("has a number where none belongs");
    if (v > uint64_t{INT64_MAX}) return refuse("has a number past 2^63");
    if (list_->size() == kMaxRank) return refuse(fmt::format("has more than {} dims", kMaxRank));
    list_->push_back(static_cast<int64_t>(v));
    return true;
  }
  bool string(std::string& v) override {
    if (where_ == Where::kMetadata) {
      metadata[key_] = std::move(v);
      return true;
    }
    if (where_ != Where::kField || key_ != "dtype" || list_)
      return refuse("has a text where none belongs");
    records.back().dtype = dtype_from_name(v);
    if (!records.back().dtype) return refuse(fmt::format("has the unknown dtype {}", in_quotes(v)));
    where_ = Where::kRecord;
    return true;
  }
  bool start_object(size_t) override {
    if (where_ == Where::kStart) return go(Where::kNames);
    if (where_ != Where::kEntry) return refuse("has an object where none belongs");
    if (name_ == "__metadata__") return go(Where::kMetadata);
    records.push_back({name_, {}, {}, {}});
    return go(Where::kRecord);
  }
  bool key(std::string& k) override {
    if (where_ == Where::kNames) {
      name_ = std::move(k);
      if (name_.empty()) return refuse("has a tensor with an empty name");
      if (!names_.insert(name_).second) return refuse("appears twice");
      return go(Where::kEntry);
    }
    key_ = std::move(k);
    if (where_ == Where::kMetadata)
      return metadata.contains(key_) ? refuse("has a key twice") : true;
    const Record& r = records.back();
    bool twice = (key_ == "dtype" && r.dtype) || (key_ == "shape" && r.shape) ||
                 (key_ == "data_offsets" && r.offsets);
    if (twice) return refuse("has a key twice");
    return go(Where::kField);
  }
  bool end_object() override {
    if (where_ == Where::kNames) return go(Where::kEnd);
    if (where_ == Where::kField) return refuse("lacks a value");
    if (where_ == Where::kRecord) {
      const Record& r = records.back();
      if (!r.dtype || !r.shape || !r.offsets || r.offsets->size() != 2)
        return refuse("lacks its dtype, shape or two data_offsets");
    }
    return go(Where::kNames);
  }
  bool start_array(size_t) override {
    if (where_ != Where::kField || list_ || (key_ != "shape" && key_ != "data_offsets"))
      return refuse("has a list where none belongs");
    auto& field = key_ == "shape" ? records.back().shape : records.back().offsets;
    list_ = &field.emplace();
    return true;
  }
  bool end_array() override {
    list_ = nullptr;
    return go(Where::kRecord);
  }
  bool parse_error(size_t at, const std::string&, const Json::exception&) override {
    problem = fmt::format("the header is not valid JSON at byte {}", at);
    return false;
  }

  std::vector<Record> records;
  std::map<std::string, std::string> metadata;
  std::string problem;

 private:
  enum class Where { kStart, kNames, kEntry, kMetadata, kRecord, kField, kEnd };

  bool go(Where where) {
    where_ = where;
    return true;
  }
  bool refuse(std::string_view why) {
    problem = name_.empty() ? fmt::format("the header {}", why)
                            : fmt::format("the header's entry {} {}", in_quotes(name_), why);
    return false;
  }

  Where where_ = Where::kStart;
  std::string name_, key_;
  std::unordered_set<std::string> names_;
  std::vector<int64_t>* list_ = nullptr;
};

Result<std::string_view> header_text(const MappedFile& file) {
  auto bytes = file.bytes();
  uint64_t length = 0;
  if (bytes.size() < sizeof length)
    return fail("{}: {} bytes are too few for a safetensors file; copy it again", file.path(),
                bytes.size());
  std::memcpy(&length, bytes.data(), sizeof length);
  if (length > kMaxHeader || length > bytes.size() - sizeof length)
    return fail(
        "{}: its header should have {} bytes, more than the file or than {}; is it cut off?",
        file.path(), length, kMaxHeader);
  std::string_view text(reinterpret_cast<const char*>(bytes.data()) + sizeof length, length);
  // nlohmann takes a NUL for the end and would let anything follow it.
  if (!text.starts_with('{') || text.find('\0') != text.npos)
    return fail("{}: not a safetensors file", file.path());
  return text;
}

// The records must tile [0, size): sorted, each begins where the one before ends.
Status check_layout(const std::vector<Record>& records, int64_t size, const std::string& path) {
  int64_t at = 0;
  for (const Record& r : records) {
    int64_t begin = (*r.offsets)[0], end = (*r.offsets)[1];
    if (begin != at || end < begin || end > size)
      return fail("{}: tensor {} lies at [{}, {}), should begin at {} and end by {}", path,
                  in_quotes(r.name), begin, end, at, size);
    auto elements = checked_product(*r.shape);
    auto bytes = elements ? checked_mul(*elements, dtype_size(*r.dtype)) : std::nullopt;
    if (!bytes || *bytes != end - begin)
      return fail("{}: tensor {} of shape {} and dtype {} has {} bytes", path, in_quotes(r.name),
                  shape_text(*r.shape), dtype_name(*r.dtype), end - begin);
    at = end;
  }
  if (at != size)
    return fail("{}: {} bytes follow its last tensor; is it damaged?", path, size - at);
  return {};
}

}  // namespace

Result<SafetensorsFile> open_safetensors(const std::string& path) {
  auto file = NB_TRY(MappedFile::open(path));
  std::string_view text = NB_TRY(header_text(*file));
  HeaderReader header;
  if (!Json::sax_parse(text.begin(), text.end(), &header))
    return fail("{}: {}", path, header.problem.empty() ? "bad header" : header.problem);
  auto& records = header.records;
  std::sort(records.begin(), records.end(), [](const Record& a, const Record& b) {
    return std::tie(*a.offsets, a.name) < std::tie(*b.offsets, b.name);
  });
  auto data = file->bytes().subspan(sizeof(uint64_t) + text.size());
  NB_OK(check_layout(records, static_cast<int64_t>(data.size()), path));

  SafetensorsFile out;
  out.metadata = std::move(header.metadata);
  out.tensors.reserve(records.size());
  for (Record& r : records) {
    auto begin = static_cast<size_t>((*r.offsets)[0]), end = static_cast<size_t>((*r.offsets)[1]);
    out.tensors.push_back(
        {std::move(r.name),
         {*r.dtype, std::move(*r.shape), data.subspan(begin, end - begin), file, file}});
  }
  return out;
}

}  // namespace nibble
