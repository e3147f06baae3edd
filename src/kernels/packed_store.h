// A cache of packed weights: a program that loads the same model again maps what an earlier one
// packed. The file belongs to one model, one kernel table and one version of the tile layout, all
// in its name; it is no format, and may be deleted at any time.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "base/file.h"
#include "kernels/kernels.h"

namespace nibble {

// Matrices in the order in which a model loads them.
class PackedStore {
 public:
  // `key`: a digest of the model's content and of all that decides which of its matrices are
  // packed. Maps FOLDER/KEY-TABLE-VERSION.packed where it is, else begins to write it. An error
  // where no file can be made in the folder.
  static Result<PackedStore> open(const std::string& folder, const std::string& key);

  // The next matrix: of the file, or packed and written to it. An error where the file ends before
  // the model does.
  Result<std::unique_ptr<PackedMatrix>> next(const QuantizedMatrix& w);
  // After the last matrix: what was written becomes the file.
  Status finish();

 private:
  std::shared_ptr<MappedFile> mapped_;  // reading
  int64_t at_ = 0;
  std::optional<AtomicFile> file_;  // writing
};

}  // namespace nibble
