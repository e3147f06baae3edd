#include <algorithm>
#include <cctype>

#include "base/checked.h"
#include "base/json.h"
#include "formats/safetensors.h"

namespace nibble {
namespace {

constexpr size_t kMaxHeader = 100'000'000;
const std::map<std::string, std::string> kMetadata = {{"format", "pt"}};

// As JSON text; what is no UTF-8 is replaced, which no name out of a checked file needs.
std::string json_text(const std::string& s) {
  return Json(s).dump(-1, ' ', false, Json::error_handler_t::replace);
}

int64_t total_bytes(const std::vector<NamedTensor>& tensors) {
  int64_t sum = 0;
  for (const auto& t : tensors) sum += static_cast<int64_t>(t.view.bytes.size());
  return sum;
}

Status check_names(const std::vector<NamedTensor>& sorted, const std::string& path) {
  for (size_t i = 0; i < sorted.size(); ++i) {
    const auto& [name, view] = sorted[i];
    NB_CHECK(checked_product(view.shape) == view.elements());
    if (name.empty() || name == "__metadata__" || (i && name == sorted[i - 1].name))
      return fail("{}: cannot write a tensor named {}: the name is empty, reserved or taken", path,
                  in_quotes(name));
  }
  return {};
}

std::string header_text(const std::vector<NamedTensor>& tensors,
                        const std::map<std::string, std::string>& metadata) {
  std::string out = "{";
  const char* comma = "";
  if (!metadata.empty()) {
    out += "\"__metadata__\":{";
    for (const auto& [key, value] : metadata) {
      out += fmt::format("{}{}:{}", comma, json_text(key), json_text(value));
      comma = ",";
    }
    out += "}";
  }
  size_t at = 0;
  for (const auto& [name, view] : tensors) {
    out += fmt::format("{}{}:{{\"dtype\":\"{}\",\"shape\":{},\"data_offsets\":[{},{}]}}", comma,
                       json_text(name), dtype_name(view.dtype), shape_text(view.shape), at,
                       at + view.bytes.size());
    at += view.bytes.size();
    comma = ",";
  }
  out += "}";
  // Spaces bring the data to a multiple of 8 bytes, so that every tensor is aligned.
  out.append((8 - out.size() % 8) % 8, ' ');
  return out;
}

// Copies in pieces and gives each back: a mapped tensor larger than memory passes through.
Status write_released(AtomicFile& file, const TensorView& view) {
  constexpr size_t kPiece = 16 << 20;
  for (size_t at = 0; at < view.bytes.size(); at += kPiece) {
    auto piece = view.bytes.subspan(at, std::min(kPiece, view.bytes.size() - at));
    NB_OK(file.write(piece));
    if (view.file) view.file->release(piece);
  }
  view.release();  // the pages that two pieces share
  return {};
}

// What must stay in one shard if it can: the name up to its first number, the layer's.
std::string_view layer_of(std::string_view name) {
  for (size_t begin = 0; begin < name.size();) {
    size_t end = std::min(name.find('.', begin), name.size());
    auto part = name.substr(begin, end - begin);
    auto digit = [](unsigned char c) { return std::isdigit(c) != 0; };
    if (!part.empty() && std::all_of(part.begin(), part.end(), digit)) return name.substr(0, end);
    begin = end + 1;
  }
  return name;
}

// Cuts tensors sorted by name into shards, between layers wherever a layer fits into one.
std::vector<std::vector<NamedTensor>> cut(std::vector<NamedTensor> tensors, int64_t max_bytes) {
  std::vector<std::vector<NamedTensor>> shards;
  std::vector<NamedTensor> shard;
  auto close = [&] {
    if (!shard.empty()) shards.push_back(std::exchange(shard, {}));
  };
  int64_t used = 0;
  for (size_t i = 0; i < tensors.size();) {
    size_t end = i + 1;
    while (end < tensors.size() && layer_of(tensors[end].name) == layer_of(tensors[i].name)) ++end;
    std::vector<NamedTensor> layer(std::make_move_iterator(tensors.begin() + i),
                                   std::make_move_iterator(tensors.begin() + end));
    i = end;
    if (used + total_bytes(layer) > max_bytes) {
      close();
      used = 0;
    }
    for (NamedTensor& t : layer) {
      auto bytes = static_cast<int64_t>(t.view.bytes.size());
      if (used + bytes > max_bytes) {
        close();
        used = 0;
      }
      used += bytes;
      shard.push_back(std::move(t));
    }
  }
  close();
  return shards;
}

bool by_name(const NamedTensor& a, const NamedTensor& b) { return a.name < b.name; }

}  // namespace

Status write_safetensors(const std::string& path, std::vector<NamedTensor> tensors,
                         const std::map<std::string, std::string>& metadata) {
  std::sort(tensors.begin(), tensors.end(), by_name);
  NB_OK(check_names(tensors, path));
  std::sort(tensors.begin(), tensors.end(), [](const NamedTensor& a, const NamedTensor& b) {
    int64_t wide_a = dtype_size(a.view.dtype), wide_b = dtype_size(b.view.dtype);
    return wide_a != wide_b ? wide_a > wide_b : a.name < b.name;
  });
  std::string header = header_text(tensors, metadata);
  if (header.size() > kMaxHeader)
    return fail("{}: {} tensors need a header past safetensors' limit of {} bytes", path,
                tensors.size(), kMaxHeader);
  uint64_t length = header.size();
  NB_OK(
      check_free_space(path, static_cast<int64_t>(sizeof length + length) + total_bytes(tensors)));

  auto file = NB_TRY(AtomicFile::create(path));
  NB_OK(file.write(std::as_bytes(std::span(&length, 1))));
  NB_OK(file.write(header));
  for (const auto& t : tensors) NB_OK(write_released(file, t.view));
  return file.commit();
}

Status write_sharded(const std::string& folder, std::vector<NamedTensor> tensors,
                     int64_t max_shard_bytes) {
  int64_t total = total_bytes(tensors);
  if (total <= max_shard_bytes)
    return write_safetensors(folder + "/model.safetensors", std::move(tensors), kMetadata);
  NB_OK(check_free_space(folder + "/model.safetensors", total));
  std::sort(tensors.begin(), tensors.end(), by_name);
  NB_OK(check_names(tensors, folder));
  auto shards = cut(std::move(tensors), max_shard_bytes);
  nlohmann::json index;  // sorted, and a linear search for each key is not to be had here
  index["metadata"]["total_size"] = total;
  auto& weight_map = index["weight_map"];
  for (size_t i = 0; i < shards.size(); ++i) {
    std::string name = fmt::format("model-{:05}-of-{:05}.safetensors", i + 1, shards.size());
    for (const auto& t : shards[i]) weight_map[t.name] = name;
    NB_OK(write_safetensors(folder + "/" + name, std::move(shards[i]), kMetadata));
  }
  return write_file(folder + "/model.safetensors.index.json",
                    index.dump(2, ' ', false, Json::error_handler_t::replace) + "\n");
}

}  // namespace nibble
