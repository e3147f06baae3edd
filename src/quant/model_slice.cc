#include "quant/model_slice.h"

#include <charconv>
#include <filesystem>

#include "base/file.h"
#include "formats/safetensors.h"
#include "model/weights.h"

namespace nibble {
namespace {

namespace fs = std::filesystem;

void cut_config(Json& config, int64_t layers) {
  for (const char* key : {"num_hidden_layers", "n_layer", "n_layers"})
    if (config.contains(key)) config[key] = layers;
  auto types = config.find("layer_types");
  if (types != config.end() && types->is_array())
    while (types->size() > static_cast<size_t>(layers)) types->erase(types->size() - 1);
  auto inner = config.find("text_config");
  if (inner != config.end() && inner->is_object()) cut_config(*inner, layers);
}

// The block that a tensor is of, or -1.
int64_t block_of(std::string_view name, const Names& names) {
  std::string prefix = names.base + names.layers + ".";
  int64_t block = -1;
  if (name.starts_with(prefix))
    std::from_chars(name.data() + prefix.size(), name.data() + name.size(), block);
  return block;
}

Status link_side_files(const std::string& model, const std::string& folder) {
  std::error_code ec;
  for (const auto& entry : fs::directory_iterator(model, ec)) {
    std::string name = entry.path().filename().string(), kind = entry.path().extension().string();
    bool weights = kind == ".safetensors" || kind == ".bin" || name.ends_with(".index.json");
    if (name == "config.json" || weights || !entry.is_regular_file(ec)) continue;
    fs::create_symlink(fs::canonical(entry.path(), ec), fs::path(folder) / name, ec);
    if (ec) return fail("{}/{}: cannot be linked: {}", folder, name, ec.message());
  }
  if (ec) return fail("{}: cannot be listed: {}", model, ec.message());
  return {};
}

}  // namespace

Status write_model_slice(const std::string& model, int64_t layers, const std::string& folder) {
  if (!path_exists(model + "/config.json"))
    return fail("{}: only a Hugging Face folder can be cut", model);
  Weights weights = NB_TRY(Weights::open(model));
  std::vector<NamedTensor> tensors;
  int64_t bytes = 0;
  for (const NamedTensor& t : weights.checkpoint().tensors()) {
    if (block_of(t.name, weights.config().names) >= layers) continue;
    tensors.push_back(t);
    bytes += static_cast<int64_t>(t.view.bytes.size());
  }
  std::error_code ec;
  if (!fs::create_directory(folder, ec)) return fail("{}: cannot be made", folder);
  NB_OK(check_free_space(folder + "/model.safetensors", bytes));
  NB_OK(write_safetensors(folder + "/model.safetensors", std::move(tensors), {{"format", "pt"}}));
  Json config = weights.checkpoint().config();
  cut_config(config, layers);
  NB_OK(write_file(folder + "/config.json", config.dump(1) + "\n"));
  NB_OK(link_side_files(model, folder));
  if (NB_TRY(Weights::open(folder)).config().layers != layers)
    return fail("{}: its config.json says otherwise how many blocks there are", model);
  return {};
}

}  // namespace nibble
