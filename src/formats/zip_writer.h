// A zip file as torch reads it: entries stored, each at a multiple of 64 bytes; zip64 where sizes
// ask for it. Source: PKWARE's APPNOTE 6.3.9, sections 4.3 and 4.5.3.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/file.h"

namespace nibble {

class ZipWriter {
 public:
  static Result<ZipWriter> create(const std::string& path);
  // An entry of exactly `bytes`, which write() then brings piece by piece.
  Status begin(const std::string& name, int64_t bytes);
  Status write(std::span<const std::byte> piece);
  Status end();
  // A whole entry.
  Status add(const std::string& name, std::string_view bytes);
  // The directory; the file then has its name.
  Status finish();

 private:
  struct Entry {
    std::string name;
    uint64_t bytes = 0, offset = 0;
    uint32_t crc = 0;
  };
  explicit ZipWriter(AtomicFile file) : file_(std::move(file)) {}
  uint64_t at() const { return static_cast<uint64_t>(file_.size()); }
  AtomicFile file_;
  uint64_t left_ = 0;  // of the entry
  std::vector<Entry> entries_;
};

// CRC-32 of zip (polynomial 0xEDB88320), going on from `crc`; 0 begins.
uint32_t crc32(uint32_t crc, std::span<const std::byte> bytes);

}  // namespace nibble
