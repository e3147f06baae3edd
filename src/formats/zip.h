// The zip container as far as torch writes it: entries stored, not compressed; zip64.
// Source: PKWARE's APPNOTE 6.3.9, sections 4.3 and 4.5.3.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "base/file.h"

namespace nibble {

struct ZipEntry {
  std::string name;
  std::span<const std::byte> bytes;  // in the mapping
};

// The entries in the order of the central directory. Refused with one line: no zip file, compressed
// or encrypted entries, entries outside the file or over one another, a name that comes twice.
Result<std::vector<ZipEntry>> read_zip(const MappedFile& file);

}  // namespace nibble
