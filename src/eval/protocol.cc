#include "eval/protocol.h"

#include <algorithm>
#include <utility>

#include "base/file.h"

namespace nibble {
namespace {

constexpr std::pair<const char*, Protocol> kProtocols[] = {
    {"bos-windows", Protocol::kBosWindows},
    {"gptq", Protocol::kGptq},
    {"llama.cpp", Protocol::kLlamaCpp},
};

}  // namespace

Result<Protocol> parse_protocol(const std::string& name) {
  for (const auto& [known, protocol] : kProtocols)
    if (name == known) return protocol;
  return usage("\"{}\" is not a protocol; known: bos-windows, gptq, llama.cpp", name);
}

const char* protocol_name(Protocol p) { return kProtocols[static_cast<int>(p)].first; }

Result<std::vector<Window>> make_windows(const Tokenizer& tokenizer, int32_t bos,
                                         const std::string& text, const WindowOptions& options) {
  std::string bytes = NB_TRY(read_file(text));
  bool bos_windows = options.protocol == Protocol::kBosWindows;
  auto encoded = tokenizer.encode(bytes, /*add_special=*/!bos_windows);
  if (!encoded) return fail("{}: {}", text, encoded.error().message);
  std::vector<int32_t> ids = std::move(*encoded);
  if (options.tokens > 0 && std::cmp_less(options.tokens, ids.size()))
    ids.resize(static_cast<size_t>(options.tokens));
  int64_t step = bos_windows ? options.context - 1 : options.context;
  std::vector<Window> out;
  for (int64_t at = 0; at + step <= static_cast<int64_t>(ids.size()); at += step) {
    Window w;
    if (bos_windows) w.ids.push_back(bos);
    w.ids.insert(w.ids.end(), ids.begin() + at, ids.begin() + at + step);
    if (options.protocol == Protocol::kLlamaCpp) {
      w.ids[0] = bos;
      w.first_scored = options.context / 2;
    }
    out.push_back(std::move(w));
  }
  if (out.empty())
    return fail("{}: {} tokens, which is less than one window of {}", text, ids.size(),
                options.context);
  return out;
}

}  // namespace nibble
