// bitsandbytes folders: NF4 and FP4, also with double quantization, and LLM.int8().
#include <cmath>

#include "export/bitsandbytes_layout.h"
#include "export/integer_layout.h"

namespace nibble {
namespace {

constexpr const char* kFlavours[] = {"nf4", "nf4-double", "fp4", "fp4-double", "int8"};
constexpr const char* kInt8 = kFlavours[4];

// The linears that are written quantized: those the artifact quantized, of a float model all.
struct Model {
  std::vector<ExportMatrix> linears;
  std::vector<std::string> skipped;  // linears elsewhere
};

Model bnb_model(const Weights& weights) {
  Model out;
  bool artifact = false;
  std::vector<ExportMatrix> all = export_matrices(weights);
  for (const ExportMatrix& m : all) artifact |= m.in_block && m.scheme.has_value();
  for (ExportMatrix& m : all) {
    if (m.in_block && (m.scheme || !artifact))
      out.linears.push_back(std::move(m));
    else if (m.module != embedding_module(weights.config()))
      out.skipped.push_back(m.module);
  }
  if (weights.config().tied_head) out.skipped.push_back(head_module(weights.config()));
  for (const MatrixSpec& m : other_matrices(weights.config())) out.skipped.push_back(m.module);
  return out;
}

// Whether int8 rows may be the very integers: one scale a row that 127 times is exact, zero in the
// middle.
bool may_be_int8_rows(const Weights& weights, const ExportMatrix& m) {
  return m.scheme && !m.scheme->asymmetric() && m.scheme->groups(m.k) == 1 &&
         stored_scale_type(weights, m.module).value_or(DType::kF32) != DType::kF32;
}
// Whether they are: -128 is not in use either.
Result<bool> is_int8_rows(const Weights& weights, const ExportMatrix& m) {
  if (!may_be_int8_rows(weights, m)) return false;
  QuantizedMatrix w = NB_TRY(weights.quantized(m.module, m.n, m.k));
  std::vector<uint8_t> codes(static_cast<size_t>(m.k));
  bool lowest = false;
  for (int64_t r = 0; m.scheme->bits == 8 && r < m.n; ++r) {
    w.codes(r, codes.data());
    lowest |= std::ranges::find(codes, 0) != codes.end();
  }
  return !lowest;
}

Result<bool> all_int8_rows(const ExportRequest& request, const Model& model) {
  for (const ExportMatrix& m : model.linears)
    if (!(request.values ? NB_TRY(is_int8_rows(request.model, m))
                         : may_be_int8_rows(request.model, m)))
      return false;
  for (const ExportMatrix& m : export_matrices(request.model))
    if (!m.in_block && m.scheme) return false;
  return true;
}

bool has_whole_blocks(const Model& model) {
  return std::ranges::all_of(model.linears, [](const ExportMatrix& m) { return m.k % 64 == 0; });
}

// What bitsandbytes' _convert_weight_packed_for_cpu asserts, with blocks of 64.
bool packs_for_bfloat16(const Model& model) {
  return has_whole_blocks(model) &&
         std::ranges::all_of(model.linears, [](const ExportMatrix& m) { return m.n % 32 == 0; });
}

Status check_family(const DecoderConfig& config, const std::string& what) {
  for (const LayerConfig& layer : config.blocks)
    if (layer.experts > 0)
      return fail(
          "{}: bitsandbytes has linears, and transformers keeps the experts of {} in one tensor",
          what, config.model_type);
  return {};
}

Result<ExportPlan> plan(const ExportRequest& request) {
  NB_OK(check_family(request.model.config(), request.folder()));
  Model model = bnb_model(request.model);
  ExportPlan out{.flavour = request.flavour};
  bool rows = NB_TRY(all_int8_rows(request, model));
  if (out.flavour.empty()) out.flavour = rows ? kInt8 : kFlavours[0];
  out.exact = rows && out.flavour == kInt8;
  if (out.exact && !request.values) out.open.insert("none of its codes is -128");
  if (!out.exact) out.notes.emplace_back("Requantized from the dequantized weights.");
  if (out.flavour == kInt8)
    out.notes.emplace_back("bitsandbytes rounds this flavour's activations to 8 bits as well.");
  out.notes.emplace_back(
      "transformers 5.23 leaves norms and embeddings in the file's type whatever type is asked "
      "for, and gives biases that one: load it with dtype=\"auto\".");
  if (out.flavour != kInt8 && !packs_for_bfloat16(model))
    out.notes.emplace_back(
        "On CPUs with AVX512_BF16 bitsandbytes 0.50 packs linears for a kernel that takes outputs "
        "in 32s and inputs in 64s alone, and some here are not: set support_avx512bf16_for_cpu of "
        "its modules to False.");
  if (out.flavour != kInt8 && !has_whole_blocks(model))
    out.notes.emplace_back(
        "On CPUs with AVX-512 bitsandbytes 0.50 misreads linears whose inputs are not whole blocks "
        "of 64, as some here are: what it quantizes itself in such shapes comes back wrong too.");
  return out;
}

TargetArithmetic arithmetic(const Weights&, const std::string& flavour) {
  if (flavour != kInt8) return {};
  return {Activations::kInt8Token, "inputs rounded to int8, a scale for each token"};
}

const char* compute_type(const Json& config) {
  for (const char* key : {"dtype", "torch_dtype"})
    for (const char* type : {"float32", "bfloat16"})
      if (config.contains(key) && config[key] == type) return type;
  return "float16";
}

Json config_of(const Model& model, const std::string& flavour, const char* type) {
  bool int8 = flavour == kInt8;
  return {{"quant_method", "bitsandbytes"},
          {"load_in_8bit", int8},
          {"load_in_4bit", !int8},
          {"llm_int8_threshold", 6.0},
          {"llm_int8_skip_modules", model.skipped},
          {"llm_int8_has_fp16_weight", false},
          {"llm_int8_enable_fp32_cpu_offload", false},
          {"bnb_4bit_quant_type", flavour.starts_with("fp4") ? "fp4" : "nf4"},
          {"bnb_4bit_use_double_quant", flavour.ends_with("-double")},
          {"bnb_4bit_compute_dtype", type},
          {"bnb_4bit_quant_storage", "uint8"}};
}

Result<std::vector<float>> values_of(const ExportRequest& request, const ExportMatrix& m) {
  std::vector<float> w = NB_TRY(request.model.floats(m.module + ".weight", m.n, m.k));
  auto bad = std::ranges::find_if(w, [](float v) { return !std::isfinite(v); });
  if (bad != w.end())
    return fail("{}: {}.weight holds {}; it cannot be quantized", request.folder(), m.module, *bad);
  return w;
}

PendingTensor floats(std::string name, std::span<const float> values) {
  return pending(
      {std::move(name), own_floats(DType::kF32, {static_cast<int64_t>(values.size())}, values)});
}
PendingTensor bytes(std::string name, std::vector<std::byte> values) {
  auto size = static_cast<int64_t>(values.size());
  return pending({std::move(name), own_bytes(DType::kU8, {size}, std::move(values))});
}

// What goes beside the codes; they are made when they are written.
class Writer {
 public:
  Writer(const ExportRequest& request, const std::string& flavour, const char* type)
      : request_(request),
        flavour_(flavour),
        type_(type),
        nf4_(flavour.starts_with("nf4")),
        nested_(flavour.ends_with("-double")) {}

  Status add(const ExportMatrix& m, std::vector<PendingTensor>& out) const {
    std::vector<float> w = NB_TRY(values_of(request_, m));
    return flavour_ == kInt8 ? add_rows(m, w, out) : add_blocks(m, w, out);
  }

 private:
  Status add_rows(const ExportMatrix& m, std::span<const float> w,
                  std::vector<PendingTensor>& out) const {
    std::vector<float> absmax = block_absmax(w, m.k);
    if (NB_TRY(is_int8_rows(request_.model, m))) {
      QuantizedMatrix q = NB_TRY(request_.model.quantized(m.module, m.n, m.k));
      for (int64_t r = 0; r < m.n; ++r)  // a negative scale has negative codes
        absmax[static_cast<size_t>(r)] = 127 * std::abs(q.grid(r, 0).scale);
    }
    out.push_back(floats(m.module + ".SCB", absmax));
    out.push_back(
        pending({m.module + ".weight_format", own_bytes(DType::kU8, {}, {std::byte{0}})}));  // rows
    out.emplace_back(m.module + ".weight", DType::kI8, std::vector{m.n, m.k},
                     [request = request_, m, absmax]() -> Result<TensorView> {
                       return own_bytes(DType::kI8, {m.n, m.k},
                                        bnb_rows(NB_TRY(values_of(request, m)), absmax));
                     });
    return {};
  }

  Status add_blocks(const ExportMatrix& m, std::span<const float> w,
                    std::vector<PendingTensor>& out) const {
    std::string weight = m.module + ".weight";
    std::vector<float> absmax = block_absmax(w, kBnbBlock);
    Json state = {{"quant_type", nf4_ ? "nf4" : "fp4"},
                  {"blocksize", kBnbBlock},
                  {"dtype", type_},
                  {"shape", {m.n, m.k}}};
    if (nested_) {
      NestedAbsmax nested = nest_absmax(absmax);
      state["nested_blocksize"] = kBnbNestedBlock;
      state["nested_dtype"] = "float32";
      state["nested_offset"] = nested.offset;
      out.push_back(bytes(weight + ".absmax", std::move(nested.codes)));
      out.push_back(floats(weight + ".nested_absmax", nested.absmax));
      out.push_back(floats(weight + ".nested_quant_map", bnb_dynamic_map()));
    } else {
      out.push_back(floats(weight + ".absmax", absmax));
    }
    out.push_back(floats(weight + ".quant_map", bnb_codes(nf4_)));
    std::string text = state.dump();
    auto raw = std::as_bytes(std::span(text));
    out.push_back(bytes(weight + ".quant_state.bitsandbytes__" + (nf4_ ? "nf4" : "fp4"),
                        {raw.begin(), raw.end()}));
    out.emplace_back(weight, DType::kU8, std::vector<int64_t>{(m.n * m.k + 1) / 2, 1},
                     [request = request_, m, absmax, nf4 = nf4_]() -> Result<TensorView> {
                       return own_bytes(DType::kU8, {(m.n * m.k + 1) / 2, 1},
                                        bnb_pack(NB_TRY(values_of(request, m)), absmax, nf4));
                     });
    return {};
  }

  const ExportRequest& request_;
  std::string flavour_;
  const char* type_;
  bool nf4_, nested_;
};

Status write(const ExportRequest& request, const ExportPlan& plan, OutputFolder& out) {
  Model model = bnb_model(request.model);
  const char* type = compute_type(request.model.checkpoint().config());
  Writer writer(request, plan.flavour, type);
  std::vector<PendingTensor> tensors;
  std::set<std::string> replaced;
  for (const ExportMatrix& m : model.linears) {
    NB_OK(writer.add(m, tensors));
    replaced.insert(m.module);
  }
  return write_hf_folder(request, out, std::move(tensors), replaced,
                         config_of(model, plan.flavour, type));
}

}  // namespace

extern const ExportFormat kExport_bitsandbytes = {
    .name = "bitsandbytes",
    .summary = "a Hugging Face folder as bitsandbytes writes it, to load or to train adapters on",
    .consumer = "transformers with bitsandbytes",
    .library = "transformers",
    .flavours = kFlavours,
    .plan = plan,
    .write = write,
    .check_family = check_family,
    .arithmetic = arithmetic,
};

}  // namespace nibble
