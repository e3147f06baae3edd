// A checkpoint's digest without reading all of its bytes once more.
#pragma once

#include <chrono>

#include "formats/checkpoint.h"

namespace nibble {

// checkpoint.digest(), kept in `folder` under the stamps of the checkpoint's files and taken from
// there while they stay the same. A file changed less than two seconds before `now` is read: clocks
// of file systems go in steps, so that a further change might not show (git's "racily clean"
// entries). A note that no digest could be is written anew. A folder that cannot be written keeps
// none. Errors: those of digest().
Result<std::string> remembered_digest(
    const Checkpoint& checkpoint, const std::string& folder,
    std::chrono::system_clock::time_point now = std::chrono::system_clock::now());

}  // namespace nibble
