#include "base/cores.h"

#include <sched.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <limits>
#include <sstream>
#include <thread>
#include <tuple>

#include "base/file.h"

namespace nibble {
namespace {

std::vector<int> read_usable_cores() {
  std::vector<int> cores;
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof set, &set) == 0)
    for (int core = 0; core < CPU_SETSIZE; ++core)
      if (CPU_ISSET(core, &set)) cores.push_back(core);
  // Not told: as many as there are, by their usual numbers.
  if (cores.empty())
    for (unsigned i = 0; i < std::max(1u, std::thread::hardware_concurrency()); ++i)
      cores.push_back(static_cast<int>(i));
  return cores;
}

// The number that a small file begins with, or `otherwise`.
int first_number(const std::string& path, int otherwise) {
  Result<std::string> text = read_file(path, 4096);
  if (!text || text->empty() || text->front() < '0' || text->front() > '9') return otherwise;
  return std::atoi(text->c_str());
}

// CPU seconds a second that the limit of one control group grants; infinite where there is none.
// Kernel documentation, cgroup-v2 (cpu.max) and sched-bwc (version 1).
double granted(const std::string& group) {
  constexpr double kAll = std::numeric_limits<double>::infinity();
  double quota = 0, period = 0;
  if (auto both = read_file(group + "/cpu.max", 4096))
    return std::sscanf(both->c_str(), "%lf %lf", &quota, &period) == 2 ? quota / period : kAll;
  quota = first_number(group + "/cpu.cfs_quota_us", 0);  // -1: none
  period = first_number(group + "/cpu.cfs_period_us", 0);
  return quota > 0 && period > 0 ? quota / period : kAll;
}

// Of a group and all that it is in. A container may not see the path above its own group, which is
// then the root of what it sees. `path` begins with a slash.
double granted_along(const std::string& root, std::string path) {
  double out = granted(root);
  for (; path.size() > 1; path.resize(path.rfind('/'))) out = std::min(out, granted(root + path));
  return out;
}

}  // namespace

const std::vector<int>& usable_cores() {
  static const std::vector<int> cores = read_usable_cores();
  return cores;
}

int worthwhile_threads(const std::string& proc, const std::string& sys) {
  auto cores = static_cast<int>(usable_cores().size());
  double time = cores;
  std::istringstream groups(read_file(proc + "/self/cgroup", 1 << 16).value_or(""));
  // NUMBER:CONTROLLERS:PATH; version 2 names no controllers.
  for (std::string line; std::getline(groups, line);) {
    size_t first = line.find(':'), second = line.find(':', first + 1);
    if (second == line.npos || !line.substr(second).starts_with(":/")) continue;
    std::string controllers = line.substr(first, second - first) + ",";
    controllers[0] = ',';
    if (controllers == ",,")
      time = std::min(time, granted_along(sys + "/fs/cgroup", line.substr(second + 1)));
    else if (controllers.contains(",cpu,"))
      time = std::min(time, granted_along(sys + "/fs/cgroup/cpu", line.substr(second + 1)));
  }
  return std::clamp(static_cast<int>(std::ceil(time)), 1, cores);
}

std::vector<int> best_first(std::vector<int> cores, const std::string& sys) {
  std::vector<std::tuple<bool, int, int>> ranked;  // a second hardware thread?, -speed, the core
  for (int core : cores) {
    std::string folder = fmt::format("{}/devices/system/cpu/cpu{}", sys, core);
    int first_of_its_kind = first_number(folder + "/topology/thread_siblings_list", core);
    ranked.emplace_back(first_of_its_kind != core, -first_number(folder + "/cpu_capacity", 0),
                        core);
  }
  std::sort(ranked.begin(), ranked.end());
  for (size_t i = 0; i < cores.size(); ++i) cores[i] = std::get<2>(ranked[i]);
  return cores;
}

bool stay_on(const std::vector<int>& cores) {
  cpu_set_t set;
  CPU_ZERO(&set);
  for (int core : cores) CPU_SET(core, &set);
  return sched_setaffinity(0, sizeof set, &set) == 0;
}

}  // namespace nibble
