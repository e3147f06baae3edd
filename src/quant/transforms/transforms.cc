#include <algorithm>

#include "quant/transforms/transform.h"

namespace nibble {

#define X(id) extern const Transform kTransform_##id;
#include "quant/transforms/transforms.inc"
#undef X

std::span<const Transform> known_transforms() {
  static const std::array list = {
#define X(id) kTransform_##id,
#include "quant/transforms/transforms.inc"
#undef X
  };
  return list;
}

Result<std::vector<const Transform*>> find_transforms(const std::vector<std::string>& names) {
  std::vector<const Transform*> out;
  for (const std::string& name : names) {
    const Transform* found = nullptr;
    std::string known;
    for (const Transform& t : known_transforms()) {
      if (name == t.name) found = &t;
      known += (known.empty() ? "" : ", ") + std::string(t.name);
    }
    if (!found) return usage("\"{}\" is not a transform; known: {}", name, known);
    if (std::find(out.begin(), out.end(), found) != out.end())
      return usage("transform {} is named twice", name);
    if (found->model && !out.empty() && !out.back()->model)
      return usage("transform {} changes the whole model, it must come before {}", name,
                   out.back()->name);
    out.push_back(found);
  }
  return out;
}

}  // namespace nibble
