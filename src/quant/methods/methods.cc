#include <array>

#include "quant/methods/method.h"

namespace nibble {

#define X(id) extern const Method kMethod_##id;
#include "quant/methods/methods.inc"
#undef X

std::span<const Method> known_methods() {
  static const std::array list = {
#define X(id) kMethod_##id,
#include "quant/methods/methods.inc"
#undef X
  };
  return list;
}

Result<const Method*> find_method(const std::string& name) {
  std::string known;
  for (const Method& m : known_methods()) {
    if (name == m.name) return &m;
    known += (known.empty() ? "" : ", ") + std::string(m.name);
  }
  return usage("\"{}\" is not a method; known: {}", name, known);
}

}  // namespace nibble
