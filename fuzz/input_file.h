// A fuzz input as a file, for readers that map one.
#pragma once

#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <initializer_list>
#include <string>

namespace nibble {

// A file in memory, gone with its owner.
class InputFile {
 public:
  InputFile(const uint8_t* data, size_t size) : fd_(memfd_create("input", 0)) {
    if (fd_ < 0) std::abort();
    while (size > 0) {
      ssize_t written = write(fd_, data, size);
      if (written <= 0) std::abort();
      data += written;
      size -= static_cast<size_t>(written);
    }
  }
  ~InputFile() { close(fd_); }
  InputFile(const InputFile&) = delete;
  InputFile& operator=(const InputFile&) = delete;

  std::string path() const { return "/proc/self/fd/" + std::to_string(fd_); }

 private:
  int fd_;
};

// A fuzz input as a folder whose files, under several names, each are all of it.
class InputFolder {
 public:
  InputFolder(const uint8_t* data, size_t size, std::initializer_list<const char*> names)
      : file_(data, size) {
    if (!mkdtemp(path_.data())) std::abort();
    for (const char* name : names)
      if (symlink(file_.path().c_str(), (path_ + "/" + name).c_str()) != 0) std::abort();
  }
  ~InputFolder() { std::filesystem::remove_all(path_); }
  InputFolder(const InputFolder&) = delete;
  InputFolder& operator=(const InputFolder&) = delete;

  const std::string& path() const { return path_; }

 private:
  InputFile file_;
  std::string path_ = "/tmp/nibble-fuzz-XXXXXX";
};

}  // namespace nibble
