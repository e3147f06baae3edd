// Source: docs.ollama.com/import and /modelfile; ollama/ollama#5245 of files in parts.
#include "base/file.h"
#include "export/lint/gguf_rules.h"
#include "export/lint/lint.h"
#include "formats/gguf_model.h"
#include "model/weights.h"

namespace nibble {
namespace {

// The argument of the first line that begins with the instruction; empty where there is none.
std::string instruction(std::string_view text, std::string_view name) {
  while (!text.empty()) {
    std::string_view line = text.substr(0, text.find('\n'));
    text.remove_prefix(std::min(text.size(), line.size() + 1));
    if (line.starts_with(name) && line.substr(name.size()).starts_with(' '))
      return std::string(line.substr(name.size() + 1));
  }
  return "";
}

Result<std::vector<std::string>> problems(const std::string& folder) {
  std::vector<std::string> out = NB_TRY(gguf_problems(folder));
  bool integers = false;
  if (Result<Weights> model = Weights::open(folder); model)
    for (const LinearSpec& spec : block_linears(model->config(), 0))
      integers |= model->quantizes(spec.module);
  if (!integers)
    out.push_back(folder +
                  ": has float weights, and Ollama does not quantize GGUF when it imports "
                  "it; export a quantized flavour");
  if (NB_TRY(GgufModel::open(folder)).part_count() > 1)
    out.push_back(folder +
                  ": is in parts, which Ollama does not import; write it without --split-size");
  std::string path = folder + "/Modelfile";
  if (!is_folder(folder) || !path_exists(path)) {
    out.push_back(folder +
                  ": has no Modelfile; ollama create wants one whose first line is FROM "
                  "./model.gguf");
    return out;
  }
  std::string text = NB_TRY(read_file(path)), from = instruction(text, "FROM");
  if (from.empty()) out.push_back(path + ": has no FROM");
  if (!from.empty() && !path_exists(folder + "/" + from))
    out.push_back(path + ": FROM names " + from + ", which is not there");
  return out;
}

}  // namespace

extern const LintTarget kLint_ollama = {"ollama", "Ollama's import, on GGUF files with a Modelfile",
                                        problems};

}  // namespace nibble
