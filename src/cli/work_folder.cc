#include "cli/work_folder.h"

#include <stdlib.h>

#include <filesystem>

namespace nibble {

namespace fs = std::filesystem;

Result<WorkFolder> WorkFolder::create() {
  std::error_code ec;
  std::string name = (fs::temp_directory_path(ec) / "nibble-XXXXXX").string();
  if (ec || !mkdtemp(name.data())) return fail("{}: cannot be made", name);
  return WorkFolder(name);
}

WorkFolder::~WorkFolder() {
  std::error_code ec;
  if (!path_.empty()) fs::remove_all(path_, ec);
}

}  // namespace nibble
