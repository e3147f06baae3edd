#include "export/gguf_draft.h"

#include <algorithm>
#include <filesystem>

#include "base/file.h"
#include "base/text.h"
#include "export/gguf_tokenizer.h"
#include "export/modelfile.h"
#include "quant/artifact.h"
#include "text/tokenizer.h"

namespace nibble {
namespace {

constexpr int64_t kGuessed = 1024;  // LLAMA_FTYPE_GUESSED

// Of linears of one type: its pure mixture, which has the same number.
int64_t file_type(const std::string& type_names) {
  for (const GgufMix& m : kGgufMixes)
    if (type_names == m.type) return m.file_type;
  return kGuessed;
}

// What llama.cpp looks up in the vocabulary of a model that is called phi-3 or phi3, and ends where
// one is missing (llama-vocab.cpp).
constexpr const char* kTokensOfPhi3[] = {"</s>", "<unk>", "<s>", "<|endoftext|>"};

// general.name: the folder's, where a model of that name loads.
void name_model(const std::string& folder, GgufMetadata& out, std::vector<std::string>& notes) {
  std::string name = std::filesystem::path(folder).filename().string();
  std::string small = lower_ascii(name);
  if (small.contains("phi-3") || small.contains("phi3"))
    if (auto tokenizer = load_tokenizer(folder))
      for (const char* token : kTokensOfPhi3)
        if (!(*tokenizer)->id_of(token)) {
          notes.push_back(fmt::format(
              "general.name is left out: in a model called {} llama.cpp looks up the token {}, "
              "which this vocabulary lacks.",
              in_quotes(name), in_quotes(token)));
          return;
        }
  out.text("general.name", name);
}

}  // namespace

std::vector<PendingGgufTensor> GgufDraft::pending(const Weights& model) const {
  std::vector<PendingGgufTensor> out;
  for (const GgufTensorPlan& t : tensors.tensors) out.push_back(pending_gguf(model, t));
  return out;
}

Result<GgufDraft> draft_gguf(const Weights& model, const GgufMix* mix, bool values,
                             const GgufMix* named) {
  const DecoderConfig& c = model.config();
  const std::string& folder = model.checkpoint().folder();
  GgufDraft out;
  out.architecture = NB_TRY(gguf_architecture(c, folder));
  out.tensors = NB_TRY(plan_gguf_tensors(model, *out.architecture, mix, values));
  out.notes = gguf_traps(c);
  GgufMetadata& m = out.metadata;
  m.text("general.architecture", out.architecture->family().architecture);
  m.text("general.type", "model");
  name_model(folder, m, out.notes);
  m.number("general.file_type", named ? named->file_type : file_type(out.tensors.type_names));
  m.number("general.quantization_version", 2);
  describe_gguf(c, *out.architecture, m);
  NB_OK(describe_gguf_tokenizer(folder, c, m, out.notes));
  return out;
}

Status write_gguf_draft(const GgufDraft& draft, const Weights& model, const std::string& folder,
                        int64_t part_bytes) {
  std::string file =
      NB_TRY(write_gguf_parts(folder, kGgufFile, draft.metadata, draft.pending(model), part_bytes));
  return write_file(folder + "/" + kModelfile, NB_TRY(modelfile(folder, file, model.config())));
}

}  // namespace nibble
