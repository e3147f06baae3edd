#include "base/profile.h"

#include <algorithm>
#include <mutex>
#include <string_view>
#include <utility>

namespace nibble {
namespace {

std::mutex mutex;  // forward passes may run on several threads
std::vector<OperatorProfile> operators;

}  // namespace

void profile_start() {
  std::lock_guard lock(mutex);
  operators.clear();
  OperatorTimer::counting.store(true, std::memory_order_relaxed);
}

std::vector<OperatorProfile> profile_take() {
  std::lock_guard lock(mutex);
  OperatorTimer::counting.store(false, std::memory_order_relaxed);
  return std::exchange(operators, {});
}

void OperatorTimer::record() const {
  double seconds = std::chrono::duration<double>(Clock::now() - start_).count();
  std::lock_guard lock(mutex);
  if (!counting.load(std::memory_order_relaxed)) return;  // taken while this one ran
  auto it = std::find_if(operators.begin(), operators.end(),
                         [&](const OperatorProfile& o) { return o.name == std::string_view(op_); });
  if (it == operators.end()) it = operators.insert(it, {op_, 0, 0, 0, 0});
  ++it->calls;
  it->seconds += seconds;
  it->bytes += bytes_;
  it->macs += macs_;
}

}  // namespace nibble
