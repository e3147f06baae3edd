#include <array>

#include "model/archs/arch.h"

namespace nibble {

#define X(name) extern const Architecture kArch_##name;
#include "model/archs/archs.inc"
#undef X

std::span<const Architecture* const> known_architectures() {
  static const std::array list = {
#define X(name) &kArch_##name,
#include "model/archs/archs.inc"
#undef X
  };
  return list;
}

std::string known_architecture_names() {
  std::string out;
  for (const Architecture* a : known_architectures())
    out += (out.empty() ? "" : ", ") + std::string(a->model_type);
  return out;
}

}  // namespace nibble
