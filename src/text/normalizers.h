// The step of tokenizer.json that rewrites text before it is split.
#pragma once

#include "text/kinds.h"

namespace nibble {

// Kinds: the table at the end of normalizers.cc.
class Normalizer {
 public:
  virtual ~Normalizer() = default;
  virtual Status apply(std::string& text) const = 0;  // UTF-8 in, UTF-8 out
};

Result<std::vector<std::unique_ptr<Normalizer>>> make_normalizers(const Json& j,
                                                                  const std::string& what);

// Unicode normalization forms (UAX 15).
enum class UnicodeForm { kNfc, kNfd, kNfkc, kNfkd };
void normalize_unicode(UnicodeForm form, std::string& text);

}  // namespace nibble
