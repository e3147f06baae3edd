// Lets the disk work while what was written is read back.
#pragma once

#include <functional>
#include <string>

#include "base/result.h"

namespace nibble {

// While it lives, AtomicFile::commit() of files that lie directly in `folder` renames at once and
// syncs on a thread; finish() waits for all of those and returns the first error. The folder's own
// entries are synced by OutputFolder::publish(). For a folder that nobody takes for whole before
// finish(): of a job that may be resumed every file must be on the disk when it has its name. One
// at a time for each folder.
class DeferredSync {
 public:
  explicit DeferredSync(std::string folder);
  DeferredSync(const DeferredSync&) = delete;
  DeferredSync& operator=(const DeferredSync&) = delete;
  ~DeferredSync();  // waits too

  Status finish();

  // Whether a DeferredSync of `folder` lives: it runs sync() on a thread then, else nobody does.
  static bool take(const std::string& folder, std::function<Status()> sync);

 private:
  std::string folder_;
};

}  // namespace nibble
