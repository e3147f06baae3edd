#include "base/deferred_sync.h"

#include <future>
#include <map>
#include <mutex>
#include <vector>

namespace nibble {
namespace {

std::mutex mutex;
std::map<std::string, std::vector<std::future<Status>>>& running() {
  static std::map<std::string, std::vector<std::future<Status>>> by_folder;
  return by_folder;
}

}  // namespace

DeferredSync::DeferredSync(std::string folder) : folder_(std::move(folder)) {
  std::lock_guard lock(mutex);
  NB_CHECK(running().try_emplace(folder_).second);
}

DeferredSync::~DeferredSync() {
  (void)finish();
  std::lock_guard lock(mutex);
  running().erase(folder_);
}

Status DeferredSync::finish() {
  std::vector<std::future<Status>> syncs;
  {
    std::lock_guard lock(mutex);
    syncs.swap(running()[folder_]);
  }
  Status out;
  for (std::future<Status>& sync : syncs)
    if (Status done = sync.get(); !done && out) out = std::move(done);
  return out;
}

bool DeferredSync::take(const std::string& folder, std::function<Status()> sync) {
  std::lock_guard lock(mutex);
  auto at = running().find(folder);
  if (at == running().end()) return false;
  at->second.push_back(std::async(std::launch::async, std::move(sync)));
  return true;
}

}  // namespace nibble
