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

int64_t total_bytes(const std::vector<PendingTensor>& tensors) {
  int64_t sum = 0;
  for (const auto& t : tensors) sum += t.bytes();
  return sum;
}

Status check_names(const std::vector<PendingTensor>& sorted, const std::string& path) {
  for (size_t i = 0; i < sorted.size(); ++i) {
    const std::string& name = sorted[i].name;
    if (name.empty() || name == "__metadata__" || (i && name == sorted[i - 1].name))
      return fail("{}: cannot write a tensor named {}: the name is empty, reserved or taken", path,
                  in_quotes(name));
  }
  return {};
}

std::string header_text(const std::vector<PendingTensor>& tensors,
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
  int64_t at = 0;
  for (const PendingTensor& t : tensors) {
    out += fmt::format("{}{}:{{\"dtype\":\"{}\",\"shape\":{},\"data_offsets\":[{},{}]}}", comma,
                       json_text(t.name), dtype_name(t.dtype), shape_text(t.shape), at,
                       at + t.bytes());
    at += t.bytes();
    comma = ",";
  }
  out += "}";
  // Spaces bring the data to a multiple of 8 bytes, so that every tensor is aligned.
  out.append((8 - out.size() % 8) % 8, ' ');
  return out;
}

// What is mapped goes in pieces, each given back when it has left: a tensor larger than memory
// passes through.
Status write_released(AtomicFile& file, const TensorView& view) {
  constexpr size_t kPiece = 16 << 20;
  if (!view.file) return file.write(view.bytes, view.owner);
  for (size_t at = 0; at < view.bytes.size(); at += kPiece) {
    auto piece = view.bytes.subspan(at, std::min(kPiece, view.bytes.size() - at));
    auto give_back = [mapped = view.file, piece](const void*) { mapped->release(piece); };
    NB_OK(file.write(piece, std::shared_ptr<const void>(piece.data(), give_back)));
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
std::vector<std::vector<PendingTensor>> cut(std::vector<PendingTensor> tensors, int64_t max_bytes) {
  std::vector<std::vector<PendingTensor>> shards;
  std::vector<PendingTensor> shard;
  auto close = [&] {
    if (!shard.empty()) shards.push_back(std::exchange(shard, {}));
  };
  int64_t used = 0;
  for (size_t i = 0; i < tensors.size();) {
    size_t end = i + 1;
    while (end < tensors.size() && layer_of(tensors[end].name) == layer_of(tensors[i].name)) ++end;
    std::vector<PendingTensor> layer(std::make_move_iterator(tensors.begin() + i),
                                     std::make_move_iterator(tensors.begin() + end));
    i = end;
    if (used + total_bytes(layer) > max_bytes) {
      close();
      used = 0;
    }
    for (PendingTensor& t : layer) {
      int64_t bytes = t.bytes();
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

bool by_name(const PendingTensor& a, const PendingTensor& b) { return a.name < b.name; }

}  // namespace

int64_t PendingTensor::bytes() const {
  return checked_product(shape).value_or(0) * dtype_size(dtype);
}

PendingTensor pending(NamedTensor tensor) {
  auto [name, view] = std::move(tensor);
  NB_CHECK(checked_product(view.shape) == view.elements());
  PendingTensor out{std::move(name), view.dtype, view.shape, {}};
  out.load = [view = std::move(view)] { return view; };
  return out;
}

std::vector<PendingTensor> pending(std::vector<NamedTensor> tensors) {
  std::vector<PendingTensor> out;
  out.reserve(tensors.size());
  for (NamedTensor& t : tensors) out.push_back(pending(std::move(t)));
  return out;
}

Status write_safetensors(const std::string& path, std::vector<NamedTensor> tensors,
                         const std::map<std::string, std::string>& metadata) {
  return write_pending(path, pending(std::move(tensors)), metadata);
}

Status write_pending(const std::string& path, std::vector<PendingTensor> tensors,
                     const std::map<std::string, std::string>& metadata) {
  std::sort(tensors.begin(), tensors.end(), by_name);
  NB_OK(check_names(tensors, path));
  std::sort(tensors.begin(), tensors.end(), [](const PendingTensor& a, const PendingTensor& b) {
    int64_t wide_a = dtype_size(a.dtype), wide_b = dtype_size(b.dtype);
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
  for (PendingTensor& t : tensors) {
    TensorView view = NB_TRY(t.load());
    NB_CHECK(view.dtype == t.dtype && view.shape == t.shape);
    t.load = {};  // what it holds may be the view's owner
    NB_OK(write_released(file, view));
  }
  return file.commit();
}

Status write_sharded(const std::string& folder, std::vector<PendingTensor> tensors,
                     int64_t max_shard_bytes) {
  int64_t total = total_bytes(tensors);
  if (total <= max_shard_bytes)
    return write_pending(folder + "/model.safetensors", std::move(tensors), kMetadata);
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
    NB_OK(write_pending(folder + "/" + name, std::move(shards[i]), kMetadata));
  }
  return write_file(folder + "/model.safetensors.index.json",
                    index.dump(2, ' ', false, Json::error_handler_t::replace) + "\n");
}

}  // namespace nibble
