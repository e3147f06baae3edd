#include "base/scratch.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "base/checked.h"

namespace nibble {
namespace {

// An open file without a name in `folder`.
Result<int> nameless_file(const std::string& folder) {
  int fd = ::open(folder.c_str(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
  if (fd >= 0) return fd;
  // File systems that cannot do that can do this.
  std::string path = folder + "/scratch-XXXXXX";
  fd = ::mkostemp(path.data(), O_CLOEXEC);
  if (fd < 0) return fail("{}: cannot make a file there: {}", folder, std::strerror(errno));
  ::unlink(path.c_str());
  return fd;
}

}  // namespace

Result<ScratchMemory> ScratchMemory::create(int64_t floats, const std::string& folder) {
  ScratchMemory out;
  auto bytes = checked_mul(floats, sizeof(float));
  if (!bytes) return fail("{} floats are more than can be held", floats);
  if (*bytes == 0) return out;
  auto size = static_cast<size_t>(*bytes);
  void* at;
  if (folder.empty()) {
    at = ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  } else {
    int fd = NB_TRY(nameless_file(folder));
    // Room that is found missing later would be a SIGBUS.
    if (int why = ::posix_fallocate(fd, 0, *bytes); why != 0) {
      ::close(fd);
      return fail("{}: no room for {} bytes of waiting data: {}", folder, *bytes,
                  std::strerror(why));
    }
    at = ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    ::close(fd);
  }
  if (at == MAP_FAILED) return fail("cannot map {} bytes: {}", *bytes, std::strerror(errno));
  out.data_ = static_cast<float*>(at);
  out.size_ = static_cast<size_t>(floats);
  out.in_file_ = !folder.empty();
  return out;
}

ScratchMemory::ScratchMemory(ScratchMemory&& other) noexcept { *this = std::move(other); }

ScratchMemory& ScratchMemory::operator=(ScratchMemory&& other) noexcept {
  std::swap(data_, other.data_);
  std::swap(size_, other.size_);
  std::swap(in_file_, other.in_file_);
  return *this;
}

ScratchMemory::~ScratchMemory() {
  if (data_) ::munmap(data_, size_ * sizeof(float));
}

void ScratchMemory::rest(std::span<const float> range) const {
  if (!in_file_ || range.empty()) return;
  // Of a shared mapping this drops the page's entry, not what is in it.
  auto page = static_cast<uintptr_t>(::sysconf(_SC_PAGESIZE));
  auto begin = reinterpret_cast<uintptr_t>(range.data()) / page * page;
  auto end = reinterpret_cast<uintptr_t>(range.data() + range.size());
  ::madvise(reinterpret_cast<void*>(begin), end - begin, MADV_DONTNEED);
}

}  // namespace nibble
