#include "base/cores.h"

#include <sched.h>

#include <algorithm>
#include <cstdlib>
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

}  // namespace

const std::vector<int>& usable_cores() {
  static const std::vector<int> cores = read_usable_cores();
  return cores;
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
