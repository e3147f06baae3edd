#include <map>

#include "base/cores.h"
#include "base/file.h"
#include "cli/common.h"
#include "cli/machine.h"
#include "cli/sizes.h"
#include "formats/gguf_model.h"
#include "model/archs/arch.h"
#include "model/size.h"

namespace nibble {
namespace {

struct InspectOptions {
  std::string model;
  bool tensors = false, cpu = false, json = false;
};

constexpr const char* kSchemes[] = {"w8", "w4g128", "w4g128-asym", "w3g128", "w2g64"};

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
  Json roles;
  int64_t total = 0;
  for (const RoleSize& r : NB_TRY(parameters_by_role(c))) {
    roles[r.role] = r.parameters;
    total += r.parameters;
  }
  return Json{{"total", total}, {"by_role", roles}};
}

Result<Json> describe_memory(const DecoderConfig& c, int64_t kept_width) {
  int64_t cache = NB_TRY(kv_cache_bytes(c));
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

// Whether the folder has weights at all; where it has, they must be sound.
Result<bool> has_weights(const std::string& folder) {
  if (is_gguf_model(folder)) return true;
  for (const std::string& name : NB_TRY(list_files(folder)))
    if (name.ends_with(".safetensors") || name.ends_with(".safetensors.index.json") ||
        name == "pytorch_model.bin" || name == "pytorch_model.bin.index.json")
      return true;
  return false;
}

// Bytes of an unquantized element as config.json states it; 2 where it does not.
int64_t stated_width(const Json& config) {
  for (const char* key : {"dtype", "torch_dtype"})
    if (config.contains(key) && config[key] == "float32") return 4;
  return 2;
}

Result<Json> describe(const std::string& folder, bool tensors) {
  std::optional<Weights> weights;
  if (NB_TRY(has_weights(folder))) weights = NB_TRY(Weights::open(folder));
  std::string path = folder + "/config.json";
  Json config = weights ? weights->checkpoint().config() : NB_TRY(read_json(path));
  DecoderConfig c = weights ? weights->config() : NB_TRY(parse_config(config, path));
  Json j = {{"folder", folder}};
  j.update(describe_architecture(c));
  j["parameters"] = NB_TRY(describe_parameters(c));
  int64_t kept_width = stated_width(config);
  if (weights) {
    // What is kept as it is has the norms' type, also where the embedding is quantized.
    kept_width = dtype_size(NB_TRY(weights->checkpoint().get(norm_vectors(c).at(0).name)).dtype);
    j["stored"] = NB_TRY(describe_stored(*weights));
    if (tensors) j["tensors"] = list_tensors(*weights);
  }
  j["memory"] = NB_TRY(describe_memory(c, kept_width));
  return j;
}

std::string count_text(int64_t n) {
  auto d = static_cast<double>(n);
  if (n >= 1000000000) return fmt::format("{:.2f} B", d / 1e9);
  return n >= 1000000 ? fmt::format("{:.2f} M", d / 1e6) : std::to_string(n);
}

std::string joined(const Json& object) {
  std::string out;
  for (const auto& [key, value] : object.items())
    out += fmt::format("{}{} {}", out.empty() ? "" : ", ", value.get<int64_t>(), key);
  return out;
}

void put_stored(const Json& s) {
  put_line("{:<14}{} tensors ({}), {}", "stored", s["tensors"].get<int64_t>(), joined(s["dtypes"]),
           bytes_text(s["bytes"]));
  if (!s["schemes"].empty()) put_line("{:<14}{} linears", "quantized", joined(s["schemes"]));
  put_line("{:<14}{:.3f} in the blocks' linears, {:.3f} over the whole file", "bits/weight",
           s["bpw"].get<double>(), s["file_bpw"].get<double>());
}

void put_text(const Json& j) {
  auto number = [&](const char* key) { return j[key].get<int64_t>(); };
  put_line("{:<14}{}", "folder", j["folder"].get<std::string>());
  put_line("{:<14}{} ({})", "architecture", j["architecture"].get<std::string>(),
           j["family"].get<std::string>());
  put_line("{:<14}{} blocks, hidden {}, {} heads of {} ({} for keys and values), MLP {}", "shape",
           number("layers"), number("hidden"), number("heads"), number("head_dim"),
           number("kv_heads"), number("mlp"));
  put_line("{:<14}{} tokens, context {}", "vocabulary", number("vocab"), number("context"));
  put_line("{:<14}{}", "positions", j["positions"].get<std::string>());
  if (j.contains("experts"))
    put_line("{:<14}{} of {} to a token in {} of the blocks, MLP {}", "experts",
             j["experts"]["per_token"].get<int64_t>(), j["experts"]["number"].get<int64_t>(),
             j["experts"]["layers"].get<int64_t>(), j["experts"]["mlp"].get<int64_t>());
  if (j.contains("window"))
    put_line("{:<14}{} tokens in {} of the blocks", "window", j["window"]["size"].get<int64_t>(),
             j["window"]["layers"].get<int64_t>());
  put_line("{:<14}{}", "parameters", count_text(j["parameters"]["total"]));
  for (const auto& [role, count] : j["parameters"]["by_role"].items())
    put_line("  {:<14}{:>12}", role, count_text(count));
  if (j.contains("stored"))
    put_stored(j["stored"]);
  else
    put_line("{:<14}no weights here; sizes from config.json alone", "stored");
  put_line(
      "\nMemory to run it (blocks' linears in the scheme, the rest as stored, cache for {} "
      "tokens):",
      number("context"));
  put_line("  {:<14}{:>12}{:>12}{:>12}", "scheme", "weights", "KV cache", "together");
  for (const Json& m : j["memory"])
    put_line("  {:<14}{:>12}{:>12}{:>12}", m["scheme"].get<std::string>(),
             bytes_text(m["weights_bytes"]), bytes_text(m["kv_cache_bytes"]),
             bytes_text(m["total_bytes"]));
  if (!j.contains("tensors")) return;
  put("\n");
  for (const Json& t : j["tensors"])
    put_line("{} {} {} {}", t["name"].get<std::string>(), t["dtype"].get<std::string>(),
             t["shape"].dump(), t["bytes"].get<int64_t>());
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
  Json j = NB_TRY(describe(NB_TRY(model_folder(o.model)), o.tensors));
  if (o.json)
    put_json(j);
  else
    put_text(j);
  return 0;
}

CommandBody setup(CLI::App& app) {
  auto o = std::make_shared<InspectOptions>();
  add_model_option(app, o->model);
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
