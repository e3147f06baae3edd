#include "formats/remembered_digest.h"

namespace nibble {
namespace {

constexpr std::chrono::nanoseconds kStep = std::chrono::seconds(2);
constexpr size_t kDigits = 32;

// A name for the checkpoint as its files are; empty where only reading tells. What was made in
// memory, as vectors of GGUF files are, is read for it.
Result<std::string> name_of(const Checkpoint& checkpoint,
                            std::chrono::system_clock::time_point now) {
  std::string text = NB_TRY(checkpoint.config_text());
  int64_t settled = std::chrono::nanoseconds(now.time_since_epoch() - kStep).count();
  std::vector<NamedTensor> made;
  for (const NamedTensor& t : checkpoint.tensors()) {
    if (!t.view.file) {
      made.push_back(t);
      continue;
    }
    const FileStamp& s = t.view.file->stamp();
    if (s.changed > settled || s.modified > settled) return std::string();
    text += fmt::format("\n{} {} {} {} {} {}", s.device, s.inode, s.size, s.modified, s.changed,
                        t.name);
  }
  if (made.size() == checkpoint.tensors().size()) return std::string();
  return digest_of(text, made);
}

bool is_digest(const std::string& text) {
  return text.size() == kDigits && text.find_first_not_of("0123456789abcdef") == text.npos;
}

}  // namespace

Result<std::string> remembered_digest(const Checkpoint& checkpoint, const std::string& folder,
                                      std::chrono::system_clock::time_point now) {
  std::string name = NB_TRY(name_of(checkpoint, now));
  if (name.empty()) return checkpoint.digest();
  std::string path = fmt::format("{}/{}.digest", folder, name);
  if (auto kept = read_file(path, kDigits); kept && is_digest(*kept)) return *kept;
  std::string digest = NB_TRY(checkpoint.digest());
  // A folder that takes no note, a read-only one, costs the next start this reading and no more.
  static_cast<void>(write_file(path, digest));
  return digest;
}

}  // namespace nibble
