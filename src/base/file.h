// The door to the file system: reading, mapping, and writing that is whole or absent.
#pragma once

#include <cstddef>
#include <cstdint>
#include <future>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"

namespace nibble {

// The whole of a regular file. "-" reads standard input. Refuses more than max_bytes.
Result<std::string> read_file(const std::string& path, int64_t max_bytes = int64_t{1} << 32);

// What is left to read of an open descriptor, to its end. `what` names it in errors.
Result<std::string> read_all(int fd, const std::string& what, int64_t max_bytes);

bool path_exists(const std::string& path);
bool is_folder(const std::string& path);
// Names of the regular files directly in a folder, sorted.
Result<std::vector<std::string>> list_files(const std::string& folder);

// What tells a file's content from any other's without reading it, as git's index does: a change
// moves the last of these, which no program can set. Times are nanoseconds since 1970.
struct FileStamp {
  uint64_t device = 0, inode = 0, size = 0;
  int64_t modified = 0, changed = 0;
  auto operator<=>(const FileStamp&) const = default;
};

// A regular file mapped read-only. The descriptor stays open, so the extent checked here holds for
// as long as nobody truncates the file under us.
class MappedFile {
 public:
  static Result<std::shared_ptr<MappedFile>> open(const std::string& path);
  ~MappedFile();
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;

  std::span<const std::byte> bytes() const { return {data_, size_}; }
  const std::string& path() const { return path_; }
  // When it was opened.
  const FileStamp& stamp() const { return stamp_; }
  // Tells the kernel that these bytes are not needed again soon: a streamed model then costs no
  // resident memory. The contents stay readable.
  void release(std::span<const std::byte> range) const;

 private:
  MappedFile() = default;
  std::string path_;
  FileStamp stamp_;
  const std::byte* data_ = nullptr;
  size_t size_ = 0;
  int fd_ = -1;
};

// Writes a file under a temporary name beside it; commit() syncs (or lets a DeferredSync of the
// folder do so) and renames. Destroyed without commit, it leaves nothing. Every error names the
// path and the cause ("disk full"). A thread hands what was written to the system while the caller
// computes what follows, so an error may be a later call's.
class AtomicFile {
 public:
  static Result<AtomicFile> create(const std::string& path);
  AtomicFile(AtomicFile&& other) noexcept;
  AtomicFile& operator=(AtomicFile&&) = delete;
  ~AtomicFile();

  Status write(std::span<const std::byte> bytes);
  Status write(std::string_view text) { return write(std::as_bytes(std::span(text))); }
  // Large ones with an `owner`, which keeps them as they are, leave without being copied.
  Status write(std::span<const std::byte> bytes, std::shared_ptr<const void> owner);
  // Bytes written so far.
  int64_t size() const { return size_; }
  Status commit();

 private:
  AtomicFile() = default;
  Status wait();
  Status put(std::span<const std::byte> bytes) const;
  Status send(std::span<const std::byte> more, std::shared_ptr<const void> owner);
  std::string path_, temp_;
  std::string buffer_, leaving_;  // leaving_ is the thread's until wait() returns
  int64_t size_ = 0, begun_ = 0;  // begun_: as far as the disk was told to begin
  std::future<Status> writing_;
  int fd_ = -1;
};

Status write_file(const std::string& path, std::string_view text);

// Refuses a `path` that exists unless `force` will replace it, and then too where one of the files
// and folders `read` lies at or below it and so would be removed. Empty names are none.
Status check_output(const std::string& path, bool force, const std::vector<std::string>& read);

// A folder that appears under its final name only when it is whole: built in PATH.partial beside
// it (so that a killed job can resume there), then synced and renamed.
class OutputFolder {
 public:
  // Refuses an existing `path` unless `force`. With `keep` an earlier PATH.partial is continued,
  // otherwise it is cleared. Holds a lock: two writers of one folder cannot meet.
  static Result<OutputFolder> create(const std::string& path, bool force, bool keep);
  OutputFolder(OutputFolder&&) noexcept;
  OutputFolder& operator=(OutputFolder&&) = delete;
  ~OutputFolder();

  const std::string& staging() const { return staging_; }
  Status copy_in(const std::string& source_file, const std::string& name);
  // Gives the folder its final name; with force the former one is removed after the new one stands.
  Status publish();
  // Leaves the staging folder on disk for a later --resume instead of clearing it.
  void keep_partial() { keep_ = true; }

 private:
  OutputFolder() = default;
  std::string path_, staging_;
  bool force_ = false, keep_ = false, done_ = false;
  int lock_fd_ = -1;
};

// Errors unless `need` bytes are free where `path` will be written.
Status check_free_space(const std::string& path, int64_t need);

}  // namespace nibble
