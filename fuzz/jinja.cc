// A chat template by a stranger, rendered over one conversation within small limits.
#include <string_view>

#include "jinja/template.h"

namespace {

constexpr std::string_view kVariables = R"({
  "messages": [{"role": "system", "content": "Be <b>&'\""}, {"role": "user", "content": "H\u00e9 \u4f60"},
    {"role": "assistant", "content": null, "tool_calls": [{"function": {"name": "f", "arguments": {"x": 1.5}}}]}],
  "tools": [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}],
  "add_generation_prompt": true, "bos_token": "<s>", "eos_token": "</s>", "n": 7, "m": -3, "x": 2.5,
  "s": "Hello, World", "e": "", "t": true, "z": null, "l": [3, 1, 2], "w": ["b", "A", "c"],
  "d": {"b": 1, "a": {"k": [1, "two", null]}}, "nested": [[1, [2, 3]], [4, []]]})";

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace nibble;
  static const Json variables = *parse_json(kVariables, "variables");
  auto body = JinjaTemplate::parse({reinterpret_cast<const char*>(data), size});
  if (body) (void)body->render(variables, 1721980800, {100'000, 1 << 24, 1 << 20, 400});
  return 0;
}
