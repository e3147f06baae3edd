// vLLM's loaders of quantized Hugging Face folders. Sources: vllm-project/vllm,
// vllm/model_executor/layers/quantization/{gptq,awq}.py (GPTQConfig, AWQConfig, create_weights) and
// compressed_tensors/schemes/compressed_tensors_wNa16.py; docs.vllm.ai, "Quantization".
#include <algorithm>
#include <array>

#include "export/hf_folder.h"
#include "export/lint/lint.h"
#include "formats/gguf_model.h"

namespace nibble {
namespace {

struct Rules {
  std::string_view method;
  std::vector<int> widths;
  int64_t packed;  // outputs that share words: n is a multiple
};

const Rules* rules_of(std::string_view method) {
  static const std::array kRules = {Rules{"gptq", {2, 3, 4, 8}, 32}, Rules{"awq", {4}, 8},
                                    Rules{"compressed-tensors", {4, 8}, 1}};
  auto it = std::ranges::find(kRules, method, &Rules::method);
  return it == kRules.end() ? nullptr : it;
}

void check_module(const Rules& rules, const ExportMatrix& m, std::vector<std::string>& out) {
  auto say = [&](const std::string& reason) { out.push_back(m.module + ": " + reason); };
  if (!m.in_block) return say("is quantized, and vLLM quantizes linears of blocks alone");
  if (std::ranges::find(rules.widths, m.scheme->bits) == rules.widths.end())
    say(fmt::format("has {} bits; vLLM's {} has {}", m.scheme->bits, rules.method,
                    fmt::join(rules.widths, ", ")));
  if (m.k % m.scheme->group_size(m.k) != 0)
    say(fmt::format("its {} inputs are no whole groups of {}", m.k, m.scheme->group_size(m.k)));
  if (m.n * (rules.packed > 8 ? m.scheme->bits : 1) % rules.packed != 0)
    say(fmt::format("its {} outputs fill no whole words", m.n));
}

Result<std::vector<std::string>> problems(const std::string& folder) {
  std::vector<std::string> out;
  if (is_gguf_model(folder))
    return std::vector<std::string>{
        folder +
        ": is GGUF, which vLLM reads on GPUs alone and calls experimental; export gptq, awq "
        "or compressed-tensors"};
  Weights model = NB_TRY(Weights::open(folder));
  const Json& config = model.checkpoint().config();
  if (!path_exists(folder + "/tokenizer.json") && !path_exists(folder + "/tokenizer.model"))
    out.push_back(folder + ": has no tokenizer; vLLM wants --skip-tokenizer-init and token ids");
  auto q = config.find("quantization_config");
  if (q == config.end()) return out;
  std::string where = folder + "/config.json";
  std::string method = NB_TRY(get_string(*q, "quant_method", "", where));
  if (method == "bitsandbytes")
    out.push_back(folder + ": is of bitsandbytes, which vLLM runs on GPUs alone");
  const Rules* rules = rules_of(method);
  if (!rules) return out;
  for (const ExportMatrix& m : export_matrices(model))
    if (m.scheme) check_module(*rules, m, out);
  if (method == "gptq" && NB_TRY(get_string(*q, "checkpoint_format", "gptq", where)) == "gptq_v2")
    out.push_back(folder +
                  ": is gptq_v2: vLLM before pull request 26092 takes its zero points for "
                  "those of version 1 and writes nonsense");
  return out;
}

}  // namespace

extern const LintTarget kLint_vllm = {"vllm", "vLLM's loaders, on Hugging Face folders", problems};

}  // namespace nibble
