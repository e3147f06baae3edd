// What llama.cpp refuses or does otherwise.
// Sources: ggml-org/llama.cpp, src/llama-arch.cpp (architectures and their tensors),
// src/llama-vocab.cpp (tokenizers).
#include "export/lint/gguf_rules.h"
#include "export/lint/lint.h"
#include "formats/gguf_model.h"
#include "model/weights.h"

namespace nibble {
namespace {

int64_t token_count(const GgufModel& model) {
  const auto* array = model.find<GgufArray>("tokenizer.ggml.tokens");
  const auto* texts = array ? std::get_if<std::vector<std::string_view>>(array) : nullptr;
  return texts ? static_cast<int64_t>(texts->size()) : 0;
}

void check_tokenizer(const GgufModel& model, int64_t vocab, std::vector<std::string>& out) {
  auto say = [&](const std::string& reason) { out.push_back(model.path() + ": " + reason); };
  const auto* kind = model.find<std::string_view>("tokenizer.ggml.model");
  if (!kind || *kind == "none") return say("has no tokenizer: llama.cpp takes token ids alone");
  if (int64_t count = token_count(model); count != vocab)
    say(fmt::format("its tokenizer has {} tokens, its embedding {}", count, vocab));
  const auto* pre = model.find<std::string_view>("tokenizer.ggml.pre");
  if (*kind == "gpt2" && (!pre || *pre == "default"))
    say("does not say how text is cut before BPE (tokenizer.ggml.pre); llama.cpp warns and cuts in "
        "its own way");
  if (!model.has("tokenizer.chat_template"))
    say("has no chat template: llama.cpp takes ChatML for conversations");
}

}  // namespace

Result<std::vector<std::string>> gguf_problems(const std::string& path) {
  if (!is_gguf_model(path)) return fail("{}: is no GGUF file, nor a folder of some", path);
  GgufModel model = NB_TRY(GgufModel::open(path));
  std::vector<std::string> out;
  // Architecture, tensors and shapes are those of llama.cpp's graph, or this refuses.
  Result<Weights> weights = Weights::open(path);
  if (!weights) return std::vector{weights.error().message};
  check_tokenizer(model, weights->config().vocab, out);
  return out;
}

extern const LintTarget kLint_llama_cpp = {"llama.cpp", "llama.cpp's rules, on GGUF files",
                                           gguf_problems};

}  // namespace nibble
