#include <map>
#include <set>

#include "base/cores.h"
#include "base/file.h"
#include "cli/common.h"
#include "cli/fits.h"
#include "cli/inspect_text.h"
#include "cli/machine.h"
#include "cli/sizes.h"
#include "model/archs/arch.h"
#include "model/roles.h"
#include "model/size.h"

namespace nibble {
namespace {

struct InspectOptions {
  std::string model;
  int64_t context = 0;  // tokens in the cache; 0: the model's own context
  KvType cache = KvType::kF32;
  bool tensors = false, cpu = false, json = false;
};

constexpr const char* kSchemes[] = {"w8",     "w6g128",      "w5g128", "w4g32",
                                    "w4g128", "w4g128-asym", "w3g128", "w2g64"};

const char* family_of(const DecoderConfig& c) {
  for (const Architecture* a : known_architectures())
    if (c.model_type == a->model_type) return a->summary;
  return "";
}

std::string rope_text(const RopeSpec& r, int64_t head_dim) {
  constexpr std::array names = {"", "linear", "dynamic", "llama3", "yarn", "longrope"};
  std::string out = fmt::format("rotary, base {}", r.theta);
  if (r.dims < head_dim) out += fmt::format(", {} of {} numbers of a head", r.dims, head_dim);
  if (r.kind == RopeSpec::Kind::kLongrope)
    out += fmt::format(", longrope beyond {}", r.original_context);
  else if (r.kind != RopeSpec::Kind::kDefault)
    out += fmt::format(", {} x {}", names[static_cast<size_t>(r.kind)], r.factor);
  return out;
}

std::string positions_text(const DecoderConfig& c) {
  if (c.alibi != Alibi::kNone) return "ALiBi";
  if (c.position_offset >= 0) return "learned";
  std::string out;
  for (const RopeSpec& r : c.ropes)
    out += (out.empty() ? "" : "; in layers with a window ") + rope_text(r, c.head_dim);
  auto still = std::count_if(c.blocks.begin(), c.blocks.end(), [](auto& l) { return l.rope < 0; });
  if (still > 0) out += fmt::format("; none in {} of the blocks", still);
  return out;
}

Json describe_architecture(const DecoderConfig& c) {
  int64_t windowed = 0, window = 0, experts = 0, mixed = 0;
  for (const LayerConfig& layer : c.blocks) {
    windowed += layer.window > 0;
    window = std::max(window, layer.window);
    mixed += layer.experts > 0;
    experts = std::max(experts, layer.experts);
  }
  Json j = {{"architecture", c.model_type},
            {"family", family_of(c)},
            {"layers", c.layers},
            {"hidden", c.hidden},
            {"heads", c.heads},
            {"kv_heads", c.kv_heads},
            {"head_dim", c.head_dim},
            {"mlp", c.mlp},
            {"vocab", c.vocab},
            {"context", c.context},
            {"positions", positions_text(c)},
            {"tied_head", c.tied_head},
            {"qk_norm", c.qk_norm != QkNorm::kNone},
            {"eos", c.eos}};
  j["bos"] = c.bos >= 0 ? Json(c.bos) : Json(nullptr);
  if (windowed > 0) j["window"] = {{"size", window}, {"layers", windowed}};
  if (mixed > 0)
    j["experts"] = {{"number", experts},
                    {"per_token", c.experts_per_token},
                    {"mlp", c.expert_mlp},
                    {"layers", mixed}};
  return j;
}

Result<Json> describe_parameters(const DecoderConfig& c) {
  Json roles, parts = Json::object();
  int64_t total = 0;
  for (const RoleSize& r : NB_TRY(parameters_by_role(c))) {
    roles[r.role] = r.parameters;
    parts[r.part] = parts.value(r.part, int64_t{0}) + r.parameters;
    total += r.parameters;
  }
  return Json{{"total", total}, {"by_part", parts}, {"by_role", roles}};
}

Json describe_applicable(const std::vector<Applicable>& list) {
  Json out = Json::array();
  for (const Applicable& a : list)
    out.push_back({{"name", a.name},
                   {"summary", a.summary},
                   {"calibrated", a.calibrated},
                   {"applies", a.applies},
                   {"note", a.note.empty() ? Json(nullptr) : Json(a.note)}});
  return out;
}

Json describe_fits(const DecoderConfig& c) {
  Json out = Json::array();
  for (const Fit& fit : fits(c)) {
    Json skipped = Json::array();
    for (const Misfit& m : fit.skipped)
      skipped.push_back({{"why", m.why}, {"linears", m.linears}, {"example", m.example}});
    out.push_back({{"form", fit.form},
                   {"linears", fit.linears},
                   {"skipped", skipped},
                   {"otherwise", fit.skipped.empty() ? Json(nullptr) : Json(fit.otherwise)},
                   {"refused", fit.refused.empty() ? Json(nullptr) : Json(fit.refused)}});
  }
  return out;
}

Result<Json> describe_cache(const DecoderConfig& c, int64_t tokens, KvType chosen) {
  Json j = {{"tokens", tokens}, {"type", cache_name(chosen)}};
  for (KvType type : {KvType::kF32, KvType::kF16, KvType::kInt8})
    j["bytes"][cache_name(type)] = NB_TRY(kv_cache_bytes(c, tokens, type));
  return j;
}

Result<Json> describe_memory(const DecoderConfig& c, int64_t kept_width, int64_t cache) {
  Json rows = Json::array();
  auto add = [&](const char* name, std::optional<Scheme> scheme) {
    int64_t weights = bytes_at(c, scheme, kept_width);
    rows.push_back({{"scheme", name},
                    {"weights_bytes", weights},
                    {"kv_cache_bytes", cache},
                    {"total_bytes", weights + cache}});
  };
  add("f16", std::nullopt);
  for (const char* name : kSchemes) add(name, NB_TRY(Scheme::parse(name)));
  return rows;
}

Result<Json> describe_stored(const Weights& weights) {
  std::map<std::string, int64_t> dtypes;
  for (const NamedTensor& t : weights.checkpoint().tensors()) ++dtypes[weights.type_name(t)];
  SizeReport size = NB_TRY(measure_size(weights));
  Json j = {{"tensors", weights.checkpoint().tensors().size()},
            {"dtypes", dtypes},
            {"bytes", size.file_bytes},
            {"bpw", size.bits_per_weight()},
            {"file_bpw", size.file_bits()}};
  j["schemes"] = Json::object();
  for (const auto& [name, count] : quantized_linears(weights)) j["schemes"][name] = count;
  std::set<std::string> floats;
  for (int64_t layer = 0; layer < weights.config().layers; ++layer)
    for (const LinearSpec& l : block_linears(weights.config(), layer))
      if (!weights.scheme_of(l.module)) floats.insert(weights.form_of(l.module));
  floats.erase("");
  j["run_as_floats"] = floats;
  return j;
}

Json list_tensors(const Weights& weights) {
  Json list = Json::array();
  for (const NamedTensor& t : weights.checkpoint().tensors())
    list.push_back({{"name", t.name},
                    {"dtype", weights.type_name(t)},
                    {"shape", t.view.shape},
                    {"bytes", t.view.bytes.size()}});
  return list;
}

// Bytes of an unquantized element as config.json states it; 2 where it does not.
int64_t stated_width(const Json& config) {
  for (const char* key : {"dtype", "torch_dtype"})
    if (config.contains(key) && config[key] == "float32") return 4;
  return 2;
}

Result<Json> describe(const std::string& folder, const InspectOptions& o) {
  std::optional<Weights> weights;
  if (NB_TRY(has_weights(folder))) weights = NB_TRY(Weights::open(folder));
  std::string path = folder + "/config.json";
  Json config = weights ? weights->checkpoint().config() : NB_TRY(read_json(path));
  DecoderConfig c = weights ? weights->config() : NB_TRY(config_without_weights(config, path));
  Json j = {{"folder", folder}};
  j.update(describe_architecture(c));
  j["parameters"] = NB_TRY(describe_parameters(c));
  int64_t kept_width = stated_width(config);
  if (weights) {
    // What is kept as it is has the norms' type, also where the embedding is quantized.
    kept_width = dtype_size(NB_TRY(weights->checkpoint().get(norm_vectors(c).at(0).name)).dtype);
    j["stored"] = NB_TRY(describe_stored(*weights));
    if (o.tensors) j["tensors"] = list_tensors(*weights);
  }
  int64_t tokens = o.context > 0 ? o.context : c.context;
  j["kv_cache"] = NB_TRY(describe_cache(c, tokens, o.cache));
  j["memory"] = NB_TRY(describe_memory(c, kept_width, NB_TRY(kv_cache_bytes(c, tokens, o.cache))));
  j["methods"] = describe_applicable(applicable_methods(c));
  j["transforms"] = describe_applicable(applicable_transforms(c));
  j["exports"] = describe_applicable(applicable_exports(c, weights ? &*weights : nullptr));
  j["forms"] = describe_fits(c);
  return j;
}

Result<int> inspect_cpu(bool json) {
  std::string chosen = NB_TRY(kernel_table_name());
  if (!json) {
    put_line("{}, {} cores", cpu_name(), usable_cores().size());
    for (const std::string& line : describe_kernel_tables()) put_line("{}", line);
    return 0;
  }
  Json tables = Json::array();
  for (const KernelTableState& s : kernel_table_states())
    tables.push_back({{"name", s.name},
                      {"needs", s.needs},
                      {"runs_here", s.runs_here},
                      {"chosen", s.chosen.empty() ? Json(nullptr) : Json(s.chosen)}});
  put_json({{"cpu", cpu_name()},
            {"cores", usable_cores().size()},
            {"chosen", chosen},
            {"tables", std::move(tables)}});
  return 0;
}

Result<int> inspect(const InspectOptions& o) {
  if (o.cpu) return inspect_cpu(o.json);
  Json j = NB_TRY(describe(NB_TRY(model_folder(o.model)), o));
  if (o.json)
    put_json(j);
  else
    put_inspection(j);
  return 0;
}

CommandBody setup(CLI::App& app) {
  auto o = std::make_shared<InspectOptions>();
  add_model_option(app, o->model);
  app.add_option("--context", o->context, "Tokens of the KV cache [the model's context]")
      ->check(CLI::Range(int64_t{1}, int64_t{1} << 31));
  add_cache_option(app, o->cache);
  app.add_flag("--tensors", o->tensors, "List every tensor: name, type, shape, bytes");
  app.add_flag("--cpu", o->cpu,
               "Instead, the kernel tables: which this CPU has, which is chosen and why");
  add_json_option(app, o->json);
  app.footer("A folder that holds only config.json will do; its sizes are then computed.");
  return [o] { return inspect(*o); };
}

}  // namespace

const Command kCommand_inspect = {
    "inspect", "what is in a model folder, its sizes, memory at each scheme", setup};

}  // namespace nibble
