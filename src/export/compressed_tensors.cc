// compressed-tensors for transformers and vLLM: our artifact's own layout, in the variants that
// these load.
#include "formats/compressed_tensors.h"

#include "export/hf_folder.h"
#include "export/integer_layout.h"

namespace nibble {
namespace {

constexpr const char* kFlavours[] = {"pack-quantized", "int-quantized"};
constexpr const char* kPacked = kFlavours[0];

struct Layout {
  std::vector<QuantizedModule> modules;
  std::vector<std::pair<int64_t, int64_t>> shapes;
  std::vector<ExportMatrix> matrices;  // the quantized ones
  std::vector<std::string> ignored;    // float linears
};

Layout layout_of(const Weights& model) {
  Layout out;
  for (const ExportMatrix& m : export_matrices(model)) {
    if (m.scheme) {
      out.modules.push_back({m.module, *m.scheme});
      out.shapes.emplace_back(m.n, m.k);
      out.matrices.push_back(m);
    } else if (m.module != embedding_module(model.config())) {
      out.ignored.push_back(m.module);
    }
  }
  if (model.config().tied_head) out.ignored.push_back(head_module(model.config()));
  return out;
}

Result<ExportPlan> plan(const ExportRequest& request) {
  Layout layout = layout_of(request.model);
  if (layout.modules.empty()) return fail("{}", why_no_integers(request));
  ExportPlan out{.flavour = request.flavour, .exact = true, .notes = {}};
  // Where bytes as they are do not load, they may packed.
  std::string why = why_only_nibble(layout.modules, layout.shapes, out.flavour == kPacked);
  if (!why.empty() && out.flavour.empty()) {
    out.flavour = kPacked;
    why = why_only_nibble(layout.modules, layout.shapes, true);
  }
  if (!why.empty()) return fail("{}: compressed-tensors cannot load it: {}", request.folder(), why);
  bool eight = false, less = false;
  for (const QuantizedModule& m : layout.modules) (m.scheme.bits == 8 ? eight : less) = true;
  if (out.flavour == kFlavours[1] && less)
    return fail("{}: int-quantized holds 8 bits alone; take compressed-tensors:pack-quantized",
                request.folder());
  if (out.flavour.empty()) out.flavour = less ? eight ? "mixed-precision" : kPacked : kFlavours[1];
  for (const QuantizedModule& m : layout.modules)
    if (request.model.checkpoint().has(m.module + ".outlier_columns")) {
      out.notes.push_back("The float columns of LLM.int8() are left out: it is weight-only there.");
      break;
    }
  return out;
}

Status write(const ExportRequest& request, const ExportPlan& plan, OutputFolder& out) {
  Layout layout = layout_of(request.model);
  std::vector<PendingTensor> tensors;
  std::set<std::string> replaced;
  bool pack = plan.flavour == kPacked;
  for (const ExportMatrix& m : layout.matrices) {
    QuantizedMatrix w = NB_TRY(request.model.quantized(m.module, m.n, m.k));
    for (NamedTensor& t : to_compressed_tensors(m.module, w, pack))
      tensors.push_back(pending(std::move(t)));
    replaced.insert(m.module);
  }
  return write_hf_folder(request, out, std::move(tensors), replaced,
                         compressed_tensors_config(layout.modules, layout.ignored, pack));
}

}  // namespace

extern const ExportFormat kExport_compressed_tensors = {
    .name = "compressed-tensors",
    .summary = "a Hugging Face folder as vLLM's llm-compressor writes it",
    .consumer = "transformers with compressed-tensors, vLLM",
    .library = "transformers",
    .flavours = kFlavours,
    .plan = plan,
    .write = write,
    .read_back = read_back_folder,
};

}  // namespace nibble
