#include "formats/imatrix.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "base/checked.h"
#include "base/file.h"
#include "base/json.h"
#include "formats/gguf.h"
#include "formats/gguf_writer.h"

namespace nibble {
namespace {

constexpr std::string_view kSquares = ".in_sum2", kCounts = ".counts";

// The older form: counts and texts with 32-bit lengths, one after another.
class OldReader {
 public:
  OldReader(std::string path, std::span<const std::byte> bytes)
      : path_(std::move(path)), left_(bytes) {}

  Result<Imatrix> run() {
    Imatrix out;
    int64_t count = NB_TRY(number());
    if (count < 1) return cut();
    for (int64_t i = 0; i < count; ++i) {
      std::string name = NB_TRY(text());
      Imatrix::Entry entry;
      entry.counts = {std::max<int64_t>(1, NB_TRY(number()))};
      auto values = NB_TRY(take(NB_TRY(number()), 4));
      entry.squares.resize(values.size() / 4);
      std::memcpy(entry.squares.data(), values.data(), values.size());
      if (entry.squares.empty() || !out.entries.emplace(name, std::move(entry)).second)
        return fail("{}: the entry {} is empty or there twice", path_, in_quotes(name));
    }
    // The number of chunks and the text's name may follow.
    if (left_.empty()) return out;
    out.chunks = NB_TRY(number());
    if (!left_.empty()) out.datasets = {NB_TRY(text())};
    return out;
  }

 private:
  std::unexpected<Error> cut() const {
    return fail("{}: is no importance matrix of llama.cpp, or ends early", path_);
  }
  Result<std::span<const std::byte>> take(int64_t count, int64_t size) {
    if (count < 0 || count > static_cast<int64_t>(left_.size()) / size) return cut();
    auto out = left_.first(static_cast<size_t>(count * size));
    left_ = left_.subspan(out.size());
    return out;
  }
  Result<int64_t> number() {
    int32_t v = 0;
    auto bytes = NB_TRY(take(1, sizeof v));
    std::memcpy(&v, bytes.data(), sizeof v);
    return v;
  }
  Result<std::string> text() {
    auto bytes = NB_TRY(take(NB_TRY(number()), 1));
    return std::string(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  }
  std::string path_;
  std::span<const std::byte> left_;
};

std::vector<float> floats_of(const GgufTensor& t) {
  std::vector<float> out(static_cast<size_t>(t.elements()));
  gguf_to_float(t, out.data());
  return out;
}

Result<Imatrix> from_gguf(const std::string& path) {
  GgufFile file = NB_TRY(open_gguf(path));
  Imatrix out;
  for (const GgufTensor& t : file.tensors) {
    std::string_view name = t.name;
    bool counts = name.ends_with(kCounts);
    if (!counts && !name.ends_with(kSquares)) continue;
    name.remove_suffix(counts ? kCounts.size() : kSquares.size());
    Imatrix::Entry& entry = out.entries[std::string(name)];
    std::vector<float> values = floats_of(t);
    if (!counts) entry.squares = std::move(values);
    for (float v : values)
      if (counts) entry.counts.push_back(v >= 0 && v < 0x1p62f ? std::llround(v) : -1);
  }
  if (const auto* n = file.find<int64_t>("imatrix.chunk_count")) out.chunks = *n;
  if (const auto* n = file.find<int64_t>("imatrix.chunk_size")) out.chunk_size = *n;
  if (const auto* list = file.find<GgufArray>("imatrix.datasets"))
    if (const auto* texts = std::get_if<std::vector<std::string_view>>(list))
      out.datasets.assign(texts->begin(), texts->end());
  return out;
}

Status check(const std::string& path, const Imatrix& imatrix) {
  if (imatrix.entries.empty()) return fail("{}: holds no importance matrix", path);
  for (const auto& [name, e] : imatrix.entries) {
    bool sizes = !e.counts.empty() && !e.squares.empty() &&
                 e.squares.size() % e.counts.size() == 0 &&
                 std::ranges::all_of(e.counts, [](int64_t c) { return c >= 0; });
    bool values =
        std::ranges::all_of(e.squares, [](float v) { return std::isfinite(v) && v >= 0; });
    if (!sizes || !values)
      return fail("{}: {} of the entry {} make no sense", path, sizes ? "values" : "counts",
                  in_quotes(name));
  }
  return {};
}

void put_number(std::string& out, int64_t value) {
  auto v = static_cast<int32_t>(value);
  out.append(reinterpret_cast<const char*>(&v), sizeof v);
}
void put_text(std::string& out, const std::string& text) {
  put_number(out, static_cast<int64_t>(text.size()));
  out += text;
}

// Means times the number of chunks, which is what its readers divide by.
std::string old_form(const Imatrix& imatrix) {
  std::string out;
  int64_t chunks = std::max<int64_t>(1, imatrix.chunks);
  put_number(out, static_cast<int64_t>(imatrix.entries.size()));
  for (const auto& [name, e] : imatrix.entries) {
    put_text(out, name);
    put_number(out, chunks);
    put_number(out, static_cast<int64_t>(e.squares.size()));
    size_t k = e.squares.size() / e.counts.size();
    for (size_t i = 0; i < e.counts.size(); ++i) {
      std::vector<double> means = e.means(i, k);
      means.resize(k, 1);
      for (double m : means) {
        auto v = static_cast<float>(m * static_cast<double>(chunks));
        out.append(reinterpret_cast<const char*>(&v), sizeof v);
      }
    }
  }
  put_number(out, chunks);
  put_text(out, imatrix.datasets.empty() ? "" : imatrix.datasets.front());
  return out;
}

PendingGgufTensor pending_floats(std::string name, int64_t rows, std::vector<float> values) {
  int64_t width = static_cast<int64_t>(values.size()) / rows;
  return {
      std::move(name),
      find_ggml_type(std::string_view("F32")),
      {rows, width},
      [width, values = std::move(values)](int64_t first, int64_t count, std::byte* out) -> Status {
        std::memcpy(out, values.data() + first * width, static_cast<size_t>(count * width * 4));
        return {};
      }};
}

}  // namespace

std::vector<double> Imatrix::Entry::means(size_t i, size_t k) const {
  int64_t count = counts[counts.size() == 1 ? 0 : i];
  if (count == 0) return {};
  std::vector<double> out(squares.begin() + static_cast<std::ptrdiff_t>(i * k),
                          squares.begin() + static_cast<std::ptrdiff_t>((i + 1) * k));
  for (double& v : out) v /= static_cast<double>(count);
  return out;
}

Result<Imatrix> read_imatrix(const std::string& path) {
  auto file = NB_TRY(MappedFile::open(path));
  bool gguf = file->bytes().size() >= 4 && std::memcmp(file->bytes().data(), "GGUF", 4) == 0;
  Imatrix out = gguf ? NB_TRY(from_gguf(path)) : NB_TRY(OldReader(path, file->bytes()).run());
  NB_OK(check(path, out));
  return out;
}

Status write_imatrix(const std::string& path, const Imatrix& imatrix) {
  if (path.ends_with(".dat")) return write_file(path, old_form(imatrix));
  GgufMetadata m;
  m.text("general.type", "imatrix");
  m.texts("imatrix.datasets", imatrix.datasets);
  m.number("imatrix.chunk_count", imatrix.chunks);
  m.number("imatrix.chunk_size", imatrix.chunk_size);
  std::vector<PendingGgufTensor> tensors;
  for (const auto& [name, e] : imatrix.entries) {
    auto rows = static_cast<int64_t>(e.counts.size());
    tensors.push_back(pending_floats(name + std::string(kSquares), rows, e.squares));
    tensors.push_back(pending_floats(name + std::string(kCounts), rows,
                                     std::vector<float>(e.counts.begin(), e.counts.end())));
  }
  return write_gguf(path, m, tensors);
}

}  // namespace nibble
