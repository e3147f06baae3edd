// GGUF files for llama.cpp, Ollama and their kin.
#include <algorithm>
#include <filesystem>

#include "export/gguf_tensors.h"
#include "export/gguf_tokenizer.h"
#include "formats/ggml_quantize.h"

namespace nibble {
namespace {

constexpr const char* kFile = "model.gguf";

struct Flavour {
  const char* name;
  const char* type;   // ggml's
  int64_t file_type;  // general.file_type, llama.cpp's enum llama_ftype
};
constexpr Flavour kTypes[] = {
    {"f32", "F32", 0},    {"f16", "F16", 1},    {"bf16", "BF16", 32}, {"q8_0", "Q8_0", 7},
    {"q6_k", "Q6_K", 18}, {"q5_k", "Q5_K", 17}, {"q5_1", "Q5_1", 9},  {"q5_0", "Q5_0", 8},
    {"q4_k", "Q4_K", 15}, {"q4_1", "Q4_1", 3},  {"q4_0", "Q4_0", 2},  {"iq4_nl", "IQ4_NL", 25},
    {"q3_k", "Q3_K", 12}, {"q2_k", "Q2_K", 10},
};
constexpr auto kFlavours = [] {
  std::array<const char*, std::size(kTypes)> names{};
  for (size_t i = 0; i < names.size(); ++i) names[i] = kTypes[i].name;
  return names;
}();

const Flavour* find(std::string_view name) {
  auto it = std::ranges::find_if(kTypes, [&](const Flavour& f) { return name == f.name; });
  return it == std::end(kTypes) ? nullptr : it;
}

const GgmlType* type_of(const std::string& flavour) {
  const Flavour* f = find(flavour);
  return f ? find_ggml_type(std::string_view(f->type)) : nullptr;
}

std::string lower(std::string text) {
  std::ranges::transform(text, text.begin(), [](unsigned char c) { return std::tolower(c); });
  return text;
}

// What the file has, from the request; the metadata go to `metadata`.
struct Draft {
  const GgufArchitecture* architecture;
  GgufTensors tensors;
  GgufMetadata metadata;
  std::vector<std::string> notes;
};

int64_t file_type(const GgufTensors& tensors) {
  const Flavour* f = find(lower(tensors.type_names));
  return f ? f->file_type : 1024;  // LLAMA_FTYPE_GUESSED
}

Result<Draft> draft(const ExportRequest& request) {
  const DecoderConfig& c = request.model.config();
  Draft out;
  out.architecture = NB_TRY(gguf_architecture(c, request.folder()));
  out.tensors = NB_TRY(plan_gguf_tensors(request.model, *out.architecture, type_of(request.flavour),
                                         request.values));
  out.notes = gguf_traps(c);
  GgufMetadata& m = out.metadata;
  m.text("general.architecture", out.architecture->family().architecture);
  m.text("general.type", "model");
  m.text("general.name", std::filesystem::path(request.folder()).filename().string());
  m.number("general.file_type", file_type(out.tensors));
  m.number("general.quantization_version", 2);
  describe_gguf(c, *out.architecture, m);
  NB_OK(describe_gguf_tokenizer(request.folder(), c, m, out.notes));
  return out;
}

std::vector<PendingGgufTensor> pending_of(const ExportRequest& request, const Draft& d) {
  std::vector<PendingGgufTensor> out;
  for (const GgufTensorPlan& t : d.tensors.tensors) out.push_back(pending_gguf(request.model, t));
  return out;
}

Result<ExportPlan> plan(const ExportRequest& request) {
  Draft d = NB_TRY(draft(request));
  NB_OK(check_gguf_names(pending_of(request, d), request.folder()));
  ExportPlan out;
  out.flavour = request.flavour.empty() ? lower(d.tensors.type_names) : request.flavour;
  out.exact = d.tensors.exact;
  if (out.exact) out.open = std::move(d.tensors.open);
  out.notes = std::move(d.notes);
  if (d.tensors.rounded > 0)
    out.notes.insert(out.notes.begin(),
                     fmt::format("{} linears of blocks are rounded anew.", d.tensors.rounded));
  if (d.tensors.fallbacks > 0)
    out.notes.push_back(
        fmt::format("{} matrices have rows that are no whole blocks of the type and took another.",
                    d.tensors.fallbacks));
  return out;
}

Status write(const ExportRequest& request, const ExportPlan&, OutputFolder& out) {
  Draft d = NB_TRY(draft(request));
  return write_gguf(out.staging() + "/" + kFile, d.metadata, pending_of(request, d));
}

// llama.cpp's CPU kernels; those of K-quants take 256 for 32, and ours run their matrices as
// floats.
TargetArithmetic arithmetic(const std::string& flavour) {
  if (flavour == "f32" || flavour == "f16" || flavour == "bf16") return {};
  return {Activations::kInt8Block32, "inputs rounded to int8 in blocks of 32, as llama.cpp does"};
}

Status check_family(const DecoderConfig& config, const std::string& what) {
  NB_TRY(gguf_architecture(config, what));
  return {};
}

}  // namespace

extern const ExportFormat kExport_gguf = {
    .name = "gguf",
    .summary = "a file for llama.cpp, Ollama and their kin",
    .consumer = "llama.cpp, Ollama",
    .library = "gguf",
    .flavours = kFlavours,
    .plan = plan,
    .write = write,
    .read_back = read_back_folder,
    .check_family = check_family,
    .arithmetic = arithmetic,
};

}  // namespace nibble
