#include "kernels/packed_store.h"

#include "kernels/pack.h"
#include "kernels/registry.h"

namespace nibble {
namespace {

// Of Panels' layout and of the order of matrices in the file.
constexpr int kVersion = 2;

}  // namespace

Result<PackedStore> PackedStore::open(const std::string& folder, const std::string& key) {
  std::string path = fmt::format("{}/{}-{}-{}.packed", folder, key, chosen_table().name, kVersion);
  PackedStore store;
  if (path_exists(path))
    store.mapped_ = NB_TRY(MappedFile::open(path));
  else
    store.file_.emplace(NB_TRY(AtomicFile::create(path)));
  return store;
}

Result<std::unique_ptr<PackedMatrix>> PackedStore::next(const QuantizedMatrix& w) {
  if (!mapped_) {
    auto matrix = std::make_unique<PanelMatrix>(chosen_table(), w);
    NB_OK(file_->write(matrix->packed()));
    return matrix;
  }
  std::span<const std::byte> rest = mapped_->bytes().subspan(static_cast<size_t>(at_));
  int64_t size = PanelMatrix::packed_size(chosen_table(), w);
  if (static_cast<int64_t>(rest.size()) < size)
    return fail("{}: ends before the model's weights do; delete it", mapped_->path());
  // The kernels only read what the mapping holds.
  auto* data = const_cast<uint8_t*>(reinterpret_cast<const uint8_t*>(rest.data()));
  at_ += size;
  return std::make_unique<PanelMatrix>(chosen_table(), w, std::shared_ptr<uint8_t>(mapped_, data));
}

Status PackedStore::finish() {
  if (file_) return file_->commit();
  if (at_ == static_cast<int64_t>(mapped_->bytes().size())) return {};
  return fail("{}: holds more than the model's weights; delete it", mapped_->path());
}

}  // namespace nibble
