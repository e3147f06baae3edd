#include "base/file.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <system_error>
#include <vector>

#include "base/deferred_sync.h"

namespace nibble {
namespace fs = std::filesystem;
namespace {

constexpr const char* kTemporary = ".tmp";  // and the process's id
constexpr size_t kBuffer = 4 << 20;         // bytes that leave for a file at once
constexpr size_t kLent = 1 << 20;           // bytes that are worth leaving without a copy

bool is_temporary(const std::string& name) {
  size_t at = name.rfind(kTemporary);
  return at != std::string::npos && name.find_first_not_of("0123456789", at + 4) == name.npos;
}

std::string reason() { return std::error_code(errno, std::generic_category()).message(); }

std::unexpected<Error> os_error(const std::string& path, const char* doing) {
  if (errno == ENOSPC || errno == EDQUOT)
    return fail("{}: disk full while {}; free some space and run again", path, doing);
  return fail("{}: cannot {}: {}", path, doing, reason());
}

std::string parent_of(const std::string& path) {
  std::string p = fs::path(path).parent_path().string();
  return p.empty() ? "." : p;
}

Status sync_folder(const std::string& folder) {
  int fd = ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return os_error(folder, "open");
  int rc = ::fsync(fd);
  int saved = errno;
  ::close(fd);
  errno = saved;
  // Some file systems have no sync of a folder; their renames are as durable as they get.
  if (rc != 0 && errno != EINVAL) return os_error(folder, "sync");
  return {};
}

Result<int> open_regular(const std::string& path, struct stat* info) {
  int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0) return os_error(path, "open");
  if (::fstat(fd, info) != 0 || !S_ISREG(info->st_mode)) {
    ::close(fd);
    return fail("{}: not a regular file", path);
  }
  return fd;
}

int64_t nanoseconds(const struct timespec& t) {
  return int64_t{t.tv_sec} * 1'000'000'000 + t.tv_nsec;
}

// Whether `path` is there and is `folder` or lies below it, whatever links name either.
bool lies_in(const std::string& path, const std::string& folder) {
  std::error_code ec;
  fs::path at = fs::canonical(path, ec);
  if (ec) return false;
  for (; !fs::equivalent(at, folder, ec); at = at.parent_path())
    if (at == at.parent_path()) return false;
  return true;
}

}  // namespace

Result<std::string> read_all(int fd, const std::string& path, int64_t max_bytes) {
  std::string out;
  std::vector<char> chunk(1 << 20);
  for (;;) {
    ssize_t n = ::read(fd, chunk.data(), chunk.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return os_error(path, "read");
    if (n == 0) return out;
    if (static_cast<int64_t>(out.size()) + n > max_bytes)
      return fail("{}: larger than {} bytes, which is more than this kind of file may have", path,
                  max_bytes);
    out.append(chunk.data(), static_cast<size_t>(n));
  }
}

Result<std::string> read_file(const std::string& path, int64_t max_bytes) {
  if (path == "-") return read_all(STDIN_FILENO, "standard input", max_bytes);
  struct stat info;
  int fd = NB_TRY(open_regular(path, &info));
  auto text = read_all(fd, path, max_bytes);
  ::close(fd);
  return text;
}

bool path_exists(const std::string& path) {
  std::error_code ec;
  return fs::exists(path, ec);
}

bool is_folder(const std::string& path) {
  std::error_code ec;
  return fs::is_directory(path, ec);
}

Result<std::vector<std::string>> list_files(const std::string& folder) {
  std::error_code ec;
  std::vector<std::string> names;
  fs::directory_iterator it(folder, ec);
  for (; !ec && it != fs::directory_iterator(); it.increment(ec)) {
    std::error_code ignore;
    if (it->is_regular_file(ignore)) names.push_back(it->path().filename().string());
  }
  if (ec) return fail("{}: cannot list folder: {}", folder, ec.message());
  std::sort(names.begin(), names.end());
  return names;
}

Result<std::shared_ptr<MappedFile>> MappedFile::open(const std::string& path) {
  struct stat info;
  int fd = NB_TRY(open_regular(path, &info));
  std::shared_ptr<MappedFile> file(new MappedFile());
  file->fd_ = fd;
  file->path_ = path;
  file->stamp_ = {info.st_dev, info.st_ino, static_cast<uint64_t>(info.st_size),
                  nanoseconds(info.st_mtim), nanoseconds(info.st_ctim)};
  file->size_ = static_cast<size_t>(info.st_size);
  if (file->size_ == 0) return file;
  void* p = ::mmap(nullptr, file->size_, PROT_READ, MAP_SHARED, fd, 0);
  if (p == MAP_FAILED) return os_error(path, "map");
  file->data_ = static_cast<const std::byte*>(p);
  return file;
}

MappedFile::~MappedFile() {
  if (data_) ::munmap(const_cast<std::byte*>(data_), size_);
  if (fd_ >= 0) ::close(fd_);
}

void MappedFile::release(std::span<const std::byte> range) const {
  auto page = static_cast<uintptr_t>(::sysconf(_SC_PAGESIZE));
  auto begin = (reinterpret_cast<uintptr_t>(range.data()) + page - 1) / page * page;
  auto end = (reinterpret_cast<uintptr_t>(range.data()) + range.size()) / page * page;
  if (end > begin) ::madvise(reinterpret_cast<void*>(begin), end - begin, MADV_DONTNEED);
}

Result<AtomicFile> AtomicFile::create(const std::string& path) {
  AtomicFile f;
  f.path_ = path;
  f.temp_ = path + kTemporary + std::to_string(::getpid());
  f.fd_ = ::open(f.temp_.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
  if (f.fd_ < 0) return os_error(path, "create");
  return f;
}

AtomicFile::AtomicFile(AtomicFile&& o) noexcept
    : path_(std::move(o.path_)),
      temp_(std::move(o.temp_)),
      buffer_(std::move(o.buffer_)),
      size_(o.size_),
      begun_(o.begun_),
      fd_(std::exchange(o.fd_, -1)) {
  NB_CHECK(!o.writing_.valid());
}

AtomicFile::~AtomicFile() {
  if (fd_ < 0) return;
  if (writing_.valid()) writing_.wait();
  ::close(fd_);
  ::unlink(temp_.c_str());
}

Status AtomicFile::put(std::span<const std::byte> bytes) const {
  for (size_t at = 0; at < bytes.size();) {
    ssize_t n = ::write(fd_, bytes.data() + at, bytes.size() - at);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return os_error(path_, "write");
    at += static_cast<size_t>(n);
  }
  return {};
}

Status AtomicFile::wait() { return writing_.valid() ? writing_.get() : Status{}; }

// The buffer, and `more` behind it.
Status AtomicFile::send(std::span<const std::byte> more, std::shared_ptr<const void> owner) {
  constexpr int64_t kAhead = 8 * kBuffer;
  NB_OK(wait());
  std::swap(buffer_, leaving_);
  buffer_.clear();
  size_ += std::ssize(more);
  bool begin = size_ - begun_ >= kAhead;
  if (begin) begun_ = size_;
  writing_ = std::async([this, more, begin, owner = std::move(owner)]() -> Status {
    NB_OK(put(std::as_bytes(std::span(leaving_))));
    NB_OK(put(more));
    // The disk begins while the rest is still computed, so that commit() has little to wait for.
    if (begin) ::sync_file_range(fd_, 0, 0, SYNC_FILE_RANGE_WRITE);
    return {};
  });
  return {};
}

Status AtomicFile::write(std::span<const std::byte> bytes) {
  for (size_t at = 0; at < bytes.size();) {
    size_t take = std::min(bytes.size() - at, kBuffer - buffer_.size());
    buffer_.append(reinterpret_cast<const char*>(bytes.data()) + at, take);
    at += take;
    size_ += static_cast<int64_t>(take);
    if (buffer_.size() == kBuffer) NB_OK(send({}, nullptr));
  }
  return {};
}

Status AtomicFile::write(std::span<const std::byte> bytes, std::shared_ptr<const void> owner) {
  bool lent = owner && bytes.size() >= kLent;
  return lent ? send(bytes, std::move(owner)) : write(bytes);
}

Status AtomicFile::commit() {
  NB_OK(wait());
  NB_OK(put(std::as_bytes(std::span(buffer_))));
  // A second descriptor: one of a thread's own, which may outlive this file.
  int fd = ::fcntl(fd_, F_DUPFD_CLOEXEC, 0);
  if (fd < 0) return os_error(path_, "sync");
  auto sync = [fd, path = path_]() -> Status {
    int rc = ::fsync(fd), saved = errno;
    ::close(fd);
    errno = saved;
    if (rc != 0) return os_error(path, "sync");
    return {};
  };
  bool later = DeferredSync::take(parent_of(path_), sync);
  if (!later) NB_OK(sync());
  int rc = ::close(std::exchange(fd_, -1));
  if (rc != 0 || ::rename(temp_.c_str(), path_.c_str()) != 0) {
    auto error = os_error(path_, "finish");
    ::unlink(temp_.c_str());
    return error;
  }
  return later ? Status{} : sync_folder(parent_of(path_));
}

Status write_file(const std::string& path, std::string_view text) {
  auto file = NB_TRY(AtomicFile::create(path));
  NB_OK(file.write(text));
  return file.commit();
}

Status check_output(const std::string& path, bool force, const std::vector<std::string>& read) {
  for (const std::string& input : read)
    if (lies_in(input, path))
      return fail("{}: holds {}, which is read and would be removed; name another output", path,
                  input);
  if (!force && path_exists(path))
    return fail("{}: already exists; name another output or give --force", path);
  return {};
}

Result<OutputFolder> OutputFolder::create(const std::string& path, bool force, bool keep) {
  OutputFolder out;
  out.path_ = path;
  while (out.path_.size() > 1 && out.path_.ends_with('/')) out.path_.pop_back();
  if (out.path_.empty()) return usage("the output folder's name is empty");
  NB_OK(check_output(out.path_, force, {}));
  out.staging_ = out.path_ + ".partial";
  out.force_ = force;
  out.keep_ = keep;
  std::error_code ec;
  if (!fs::is_directory(parent_of(out.path_), ec))
    return fail("{}: there is no folder {} to write it in", out.path_, parent_of(out.path_));
  fs::create_directory(out.staging_, ec);
  if (ec) return fail("{}: cannot create: {}", out.staging_, ec.message());
  out.lock_fd_ = ::open(out.staging_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (out.lock_fd_ < 0) return os_error(out.staging_, "open");
  if (::flock(out.lock_fd_, LOCK_EX | LOCK_NB) != 0) {
    out.keep_ = true;  // it is another program's work
    return fail("{}: another nibble is writing it now", out.staging_);
  }
  // What a killed job was writing just then is never of use, its whole files may be.
  for (const auto& entry : fs::directory_iterator(out.staging_, ec))
    if (!keep || is_temporary(entry.path().filename().string())) fs::remove_all(entry, ec);
  if (ec) return fail("{}: cannot clear: {}", out.staging_, ec.message());
  return out;
}

OutputFolder::OutputFolder(OutputFolder&& o) noexcept
    : path_(std::move(o.path_)),
      staging_(std::move(o.staging_)),
      force_(o.force_),
      keep_(o.keep_),
      done_(std::exchange(o.done_, true)),
      lock_fd_(std::exchange(o.lock_fd_, -1)) {}

OutputFolder::~OutputFolder() {
  std::error_code ec;
  if (!done_ && !keep_ && lock_fd_ >= 0) fs::remove_all(staging_, ec);
  if (lock_fd_ >= 0) ::close(lock_fd_);
}

Status OutputFolder::copy_in(const std::string& source_file, const std::string& name) {
  return write_file(staging_ + "/" + name, NB_TRY(read_file(source_file)));
}

Status OutputFolder::publish() {
  NB_OK(sync_folder(staging_));
  // Where the file system can swap two names, there is no moment without a whole folder.
  std::string former = staging_;
  bool replacing = force_ && path_exists(path_);
  bool swapped = replacing && ::renameat2(AT_FDCWD, staging_.c_str(), AT_FDCWD, path_.c_str(),
                                          RENAME_EXCHANGE) == 0;
  if (!swapped) {
    former = path_ + ".old";
    if (replacing && ::rename(path_.c_str(), former.c_str()) != 0)
      return os_error(path_, "move aside");
    if (::rename(staging_.c_str(), path_.c_str()) != 0) {
      auto error = os_error(path_, "publish");
      if (replacing) ::rename(former.c_str(), path_.c_str());
      return error;
    }
  }
  done_ = true;
  NB_OK(sync_folder(parent_of(path_)));
  std::error_code ec;
  if (replacing) fs::remove_all(former, ec);
  if (ec) return fail("{}: written, but the former folder {} could not be removed", path_, former);
  return {};
}

Status check_free_space(const std::string& path, int64_t need) {
  struct statvfs info;
  if (::statvfs(parent_of(path).c_str(), &info) != 0)
    return os_error(path, "ask the free space of");
  auto have = static_cast<int64_t>(info.f_bavail) * static_cast<int64_t>(info.f_frsize);
  if (have < need)
    return fail("{}: disk full: this needs {:.1f} MB, {:.1f} MB are free", path,
                static_cast<double>(need) / 1e6, static_cast<double>(have) / 1e6);
  return {};
}

}  // namespace nibble
