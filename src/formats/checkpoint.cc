#include "formats/checkpoint.h"

#include <xxhash.h>

#include <algorithm>
#include <map>

#include "base/threads.h"
#include "formats/pytorch_bin.h"
#include "formats/safetensors.h"

namespace nibble {
namespace {

constexpr const char* kSingle = "model.safetensors";
constexpr const char* kIndex = "model.safetensors.index.json";
constexpr const char* kPickled = "pytorch_model.bin";
constexpr const char* kPickledIndex = "pytorch_model.bin.index.json";

Result<std::vector<NamedTensor>> open_file(const std::string& path) {
  if (path.ends_with(".bin")) return open_pytorch_bin(path);
  return NB_TRY(open_safetensors(path)).tensors;
}

// A name in the index is data from outside: it must not lead out of the folder. (Links do pass:
// the Hugging Face cache consists of them.)
bool is_plain_name(const std::string& name) {
  return !name.empty() && name != "." && name != ".." && name.find('/') == std::string::npos &&
         name.find('\0') == std::string::npos;
}

// What an index says: tensor names by shard file.
using Shards = std::map<std::string, std::vector<std::string>>;
Result<Shards> read_index(const std::string& path) {
  Json index = NB_TRY(read_json(path));
  auto map = index.is_object() ? index.find("weight_map") : index.end();
  if (map == index.end() || !map->is_object() || map->empty())
    return fail("{}: has no \"weight_map\" of tensors and their files", path);
  Shards shards;
  for (const auto& [tensor, file] : map->items()) {
    if (!file.is_string() || !is_plain_name(file.get_ref<const std::string&>()))
      return fail("{}: the file of tensor {} is {}, should be a plain file name", path,
                  in_quotes(tensor), in_quotes(file.dump(-1, ' ', true)));
    shards[file.get<std::string>()].push_back(tensor);
  }
  return shards;
}

Result<std::vector<NamedTensor>> open_shards(const std::string& folder, const char* index_name) {
  std::string index = folder + "/" + index_name;
  Shards shards = NB_TRY(read_index(index));
  std::vector<NamedTensor> tensors;
  for (auto& [name, wanted] : shards) {
    std::string path = folder + "/" + name;
    if (!path_exists(path))
      return fail("{}: names the file {}, which is missing; download it again", index,
                  in_quotes(name));
    auto file = NB_TRY(open_file(path));
    std::sort(wanted.begin(), wanted.end());
    size_t found = tensors.size();
    for (NamedTensor& t : file)
      if (std::binary_search(wanted.begin(), wanted.end(), t.name)) tensors.push_back(std::move(t));
    if (tensors.size() - found == wanted.size()) continue;
    for (const auto& w : wanted)
      if (std::none_of(tensors.begin() + static_cast<std::ptrdiff_t>(found), tensors.end(),
                       [&](const NamedTensor& t) { return t.name == w; }))
        return fail("{}: lacks the tensor {}, which {} promises there", path, in_quotes(w),
                    index_name);
  }
  return tensors;
}

// The only *.safetensors file of a folder that has neither of the usual names.
Result<std::string> find_single(const std::string& folder) {
  std::vector<std::string> found;
  for (const auto& name : NB_TRY(list_files(folder)))
    if (name.ends_with(".safetensors")) found.push_back(name);
  if (found.size() == 1) return found[0];
  if (found.size() > 1)
    return fail("{}: has {} .safetensors files but no {} that says which belong together", folder,
                found.size(), kIndex);
  return fail("{}: has no weights; a model folder holds {} or {}, or shards with {}", folder,
              kSingle, kPickled, kIndex);
}

Result<std::vector<NamedTensor>> open_weights(const std::string& folder) {
  if (path_exists(folder + "/" + kSingle)) return open_file(folder + "/" + kSingle);
  if (path_exists(folder + "/" + kIndex)) return open_shards(folder, kIndex);
  if (path_exists(folder + "/" + kPickled)) return open_file(folder + "/" + kPickled);
  if (path_exists(folder + "/" + kPickledIndex)) return open_shards(folder, kPickledIndex);
  return open_file(folder + "/" + NB_TRY(find_single(folder)));
}

class Hasher {
 public:
  Hasher() : state_(XXH3_createState()) { XXH3_128bits_reset(state_); }
  ~Hasher() { XXH3_freeState(state_); }
  Hasher(const Hasher&) = delete;
  Hasher& operator=(const Hasher&) = delete;

  void bytes(std::span<const std::byte> b) { XXH3_128bits_update(state_, b.data(), b.size()); }
  // Its length goes first, so that no two sequences of texts read the same.
  void text(std::string_view s) {
    uint64_t size = s.size();
    bytes(std::as_bytes(std::span(&size, 1)));
    bytes(std::as_bytes(std::span(s)));
  }
  std::string hex() const {
    XXH128_hash_t h = XXH3_128bits_digest(state_);
    return fmt::format("{:016x}{:016x}", h.high64, h.low64);
  }

 private:
  XXH3_state_t* state_;
};

// A stretch of a tensor's bytes: large files are hashed by all threads.
struct Piece {
  const TensorView* tensor;
  std::span<const std::byte> bytes;
  XXH128_canonical_t hash = {};

  void compute() {
    XXH128_canonicalFromHash(&hash, XXH3_128bits(bytes.data(), bytes.size()));
    if (tensor->file) tensor->file->release(bytes);
  }
};

std::vector<Piece> pieces_of(const std::map<std::string_view, const NamedTensor*>& tensors) {
  constexpr size_t kPiece = 16 << 20;
  std::vector<Piece> out;
  for (const auto& [name, t] : tensors)
    for (size_t at = 0; at < t->view.bytes.size(); at += kPiece)
      out.push_back(
          {&t->view, t->view.bytes.subspan(at, std::min(kPiece, t->view.bytes.size() - at))});
  return out;
}

}  // namespace

Result<Checkpoint> Checkpoint::open(const std::string& folder) {
  if (!path_exists(folder)) return fail("{}: no such folder", folder);
  if (!is_folder(folder))
    return fail("{}: not a folder; give the folder that holds config.json and the weights", folder);
  if (!path_exists(folder + "/config.json"))
    return fail("{}: has no config.json, so it is no Hugging Face model folder", folder);
  Checkpoint c;
  c.folder_ = folder;
  c.config_ = NB_TRY(read_json(folder + "/config.json"));
  if (!c.config_.is_object()) return fail("{}/config.json: not a JSON object", folder);
  c.tensors_ = NB_TRY(open_weights(folder));
  c.build_index();
  return c;
}

Checkpoint Checkpoint::of_tensors(std::string name, std::vector<NamedTensor> tensors, Json config) {
  Checkpoint c;
  c.folder_ = std::move(name);
  c.config_ = std::move(config);
  c.tensors_ = std::move(tensors);
  c.build_index();
  return c;
}

void Checkpoint::build_index() {
  index_.reserve(tensors_.size());
  for (size_t i = 0; i < tensors_.size(); ++i) index_.emplace(tensors_[i].name, i);
}

Result<TensorView> Checkpoint::get(const std::string& name) const {
  auto it = index_.find(name);
  if (it == index_.end()) return fail("{}: has no tensor {}", folder_, in_quotes(name));
  return tensors_[it->second].view;
}

Result<TensorView> Checkpoint::get(const std::string& name, std::span<const int64_t> shape) const {
  TensorView view = NB_TRY(get(name));
  if (!std::equal(shape.begin(), shape.end(), view.shape.begin(), view.shape.end()))
    return fail("{}: tensor {} has shape {}, should be {}", folder_, in_quotes(name),
                shape_text(view.shape), shape_text(shape));
  return view;
}

Result<std::string> Checkpoint::config_text() const {
  std::string file = folder_ + "/config.json";
  return path_exists(file) ? read_file(file) : config_.dump();
}

Result<std::string> Checkpoint::digest() const {
  return digest_of(NB_TRY(config_text()), tensors_);
}

Result<std::string> digest_of(const std::string& config, const std::vector<NamedTensor>& tensors) {
  Hasher hasher;
  hasher.text(config);
  // By name, so that the same tensors in other shards are the same model.
  std::map<std::string_view, const NamedTensor*> sorted;
  for (const auto& t : tensors) sorted.emplace(t.name, &t);
  std::vector<Piece> pieces = pieces_of(sorted);
  parallel_for(static_cast<int64_t>(pieces.size()),
               [&](int64_t i) { pieces[static_cast<size_t>(i)].compute(); });
  auto piece = pieces.begin();
  for (const auto& [name, t] : sorted) {
    hasher.text(name);
    hasher.text(dtype_name(t->view.dtype));
    hasher.text(shape_text(t->view.shape));
    for (; piece != pieces.end() && piece->tensor == &t->view; ++piece)
      hasher.bytes(std::as_bytes(std::span(piece->hash.digest)));
    t->view.release();
  }
  return hasher.hex();
}

}  // namespace nibble
