#include <algorithm>
#include <charconv>
#include <filesystem>
#include <numeric>
#include <set>
#include <tuple>

#include "base/file.h"
#include "model/roles.h"
#include "report/report.h"
#include "runtime/session.h"

namespace nibble {
namespace {

constexpr size_t kWorst = 12;
constexpr size_t kContextTokens = 24;  // shown before a bad token
constexpr int64_t kCacheTokens = 2048;
constexpr size_t kPrompts = 3, kPromptTokens = 12;

// "model.layers.3.self_attn.q_proj": block 3, "self_attn.q_proj".
ReportLinear place_of(const std::string& module) {
  ReportLinear out;
  out.name = module;
  for (size_t at = 0; at < module.size();) {
    size_t end = std::min(module.find('.', at), module.size());
    int64_t number = 0;
    auto [p, error] = std::from_chars(module.data() + at, module.data() + end, number);
    if (error == std::errc() && p == module.data() + end && end < module.size()) {
      out.block = number;
      out.name = module.substr(end + 1);
      return out;
    }
    at = end + 1;
  }
  return out;
}

Result<ReportLinear> linear_of(const Json& tensor, const std::string& path, int64_t layers) {
  std::string module = NB_TRY(get_string(tensor, "module", std::nullopt, path));
  ReportLinear out = place_of(module);
  if (out.block >= layers || out.block < -1)
    return fail("{}: {} is of no block: the model has {}", path, in_quotes(module), layers);
  out.scheme = NB_TRY(get_string(tensor, "scheme", std::nullopt, path));
  auto scheme = Scheme::parse(out.scheme);
  if (!scheme)
    return fail("{}: {} of {} is no scheme", path, in_quotes(out.scheme), in_quotes(module));
  out.bits = scheme->bits;
  out.error = NB_TRY(get_number(tensor, "error", 0, path));
  return out;
}

Result<std::vector<ReportLinear>> linears_of(const Json& record, const std::string& path,
                                             int64_t layers) {
  std::vector<ReportLinear> out;
  auto tensors = record.find("tensors");
  if (tensors == record.end() || !tensors->is_array()) return out;
  for (const Json& t : *tensors) {
    if (!t.is_object()) return fail("{}: tensors should hold an object for each", path);
    out.push_back(NB_TRY(linear_of(t, path, layers)));
  }
  return out;
}

// A scored token by its place in TokenScores: which window, and where in it the token stands.
struct Place {
  const Window* window;
  size_t token;
};

Place place_in(const std::vector<Window>& windows, size_t scored) {
  for (const Window& w : windows) {
    size_t count = w.ids.size() - 1 - static_cast<size_t>(w.first_scored);
    if (scored < count) return {&w, scored + static_cast<size_t>(w.first_scored) + 1};
    scored -= count;
  }
  NB_CHECK(false);
}

Result<std::vector<WorstToken>> worst_of(const TokenScores& scores,
                                         const std::vector<Window>& windows,
                                         const Tokenizer& tokenizer) {
  std::vector<size_t> order(scores.kl.size());
  std::iota(order.begin(), order.end(), size_t{0});
  size_t count = std::min(kWorst, order.size());
  std::partial_sort(order.begin(), order.begin() + static_cast<std::ptrdiff_t>(count), order.end(),
                    [&](size_t a, size_t b) {
                      return scores.kl[a] != scores.kl[b] ? scores.kl[a] > scores.kl[b] : a < b;
                    });
  std::vector<WorstToken> out;
  for (size_t i : std::span(order).first(count)) {
    auto [window, at] = place_in(windows, i);
    std::span ids(window->ids);
    size_t first = at > kContextTokens ? at - kContextTokens : 0;
    // The token alone would lose the space before it: what it adds to the text.
    std::string before = NB_TRY(tokenizer.decode(ids.subspan(first, at - first), true));
    std::string with = NB_TRY(tokenizer.decode(ids.subspan(first, at - first + 1), true));
    std::string token =
        with.starts_with(before) ? with.substr(before.size()) : tokenizer.piece(ids[at]);
    out.push_back({before, token, scores.kl[i], std::exp(-scores.nll[i]),
                   std::exp(-scores.reference_nll[i])});
  }
  return out;
}

// Where none are given: the beginnings of some windows of the held-out text.
Result<std::vector<std::string>> prompts_from(const std::vector<Window>& windows,
                                              const Tokenizer& tokenizer) {
  std::vector<std::string> out;
  size_t count = std::min(kPrompts, windows.size());
  for (size_t i = 0; i < count; ++i) {
    std::span<const int32_t> ids = windows[i * windows.size() / count].ids;
    out.push_back(NB_TRY(tokenizer.decode(ids.first(std::min(kPromptTokens, ids.size())), true)));
  }
  return out;
}

// Continues each prompt; returns the texts and how fast they were written.
Result<std::pair<std::vector<std::string>, double>> write_samples(
    const TextModel& model, const std::vector<std::string>& prompts, int64_t length) {
  std::vector<std::string> texts;
  double seconds = 0, tokens = 0;
  for (const std::string& prompt : prompts) {
    GenerationOptions g;
    g.max_tokens = length;
    g.sampling.temperature = 0;
    std::vector<int32_t> ids = NB_TRY(encode_prompt(*NB_TRY(model.need_tokenizer()), prompt));
    if (ids.empty() || static_cast<int64_t>(ids.size()) >= model.decoder.context())
      return fail("the prompt {} is empty or longer than the context", in_quotes(prompt));
    Generation text = NB_TRY(generate(model, ids, g));
    texts.push_back(text.text);
    seconds += text.decode_seconds;
    tokens += static_cast<double>(text.ids.size());
  }
  return std::pair(std::move(texts), seconds > 0 ? tokens / seconds : 0);
}

// "w4" of each quantized matrix; "" of one whose values no such width tells.
std::set<std::string> widths_of(const Weights& weights) {
  std::set<std::string> out;
  for (const MatrixSpec& m : all_matrices(weights.config())) {
    if (!weights.quantizes(m.module)) continue;
    std::optional<Scheme> scheme = weights.stored_scheme(m.module);
    out.insert(scheme ? fmt::format("w{}", scheme->bits) : "");
  }
  return out;
}

std::optional<bool> runs(const DeviceProfile& device, const std::set<std::string>& widths) {
  for (const std::string& width : widths)
    if (!width.empty() && std::ranges::find(device.schemes, width) == device.schemes.end())
      return false;
  if (widths.empty() || widths.contains("")) return std::nullopt;
  return true;
}

std::vector<DeviceFit> fits_on(const std::vector<DeviceProfile>& devices, const Report& report,
                               const Decoder& model) {
  std::set<std::string> widths = widths_of(model.weights());
  const DecoderConfig& c = model.config();
  auto cached = static_cast<double>(
      KvCache::bytes(c.layers, c.kv_heads, c.head_dim, kCacheTokens, KvType::kF16));
  std::vector<DeviceFit> out;
  for (const DeviceProfile& d : devices) {
    DeviceFit fit;
    fit.device = d.name;
    fit.fits =
        static_cast<double>(report.loss.size.file_bytes) + cached <= d.usable || d.kind == "tpu";
    fit.milliseconds = 1e3 * static_cast<double>(model.read_bytes(1)) / d.bandwidth;
    fit.scheme_runs = runs(d, widths);
    out.push_back(std::move(fit));
  }
  return out;
}

std::string name_of(const std::string& folder) {
  return std::filesystem::path(folder + "/.").parent_path().filename().string();
}

Result<std::vector<ReportVersion>> measure_beside(const ReportOptions& o) {
  std::vector<ReportVersion> out;
  for (const std::string& folder : o.beside)
    out.push_back(
        version_of(name_of(folder),
                   NB_TRY(evaluate(NB_TRY(Weights::open(folder)), NB_TRY(Weights::open(o.against)),
                                   o.against, {o.text, o.windows, o.activations}))));
  std::ranges::stable_sort(out, {}, &ReportVersion::bytes);
  return out;
}

}  // namespace

ReportVersion version_of(const std::string& name, const Evaluation& loss) {
  return {name, loss.size.file_bytes, loss.size.bits_per_weight(), loss.scores.kl_mean,
          loss.scores.top1};
}

std::vector<ReportVersion> all_versions(const Report& r) {
  std::vector<ReportVersion> out = r.versions;
  out.push_back(version_of(r.name, r.loss));
  return out;
}

std::vector<ReportVersion> front_of(std::vector<ReportVersion> versions) {
  std::ranges::sort(versions, [](const ReportVersion& a, const ReportVersion& b) {
    return std::tie(a.bytes, a.kl) < std::tie(b.bytes, b.kl);
  });
  std::vector<ReportVersion> out;
  for (ReportVersion& v : versions)
    if (out.empty() || v.kl < out.back().kl) out.push_back(std::move(v));
  return out;
}

Result<Report> gather_report(const ReportOptions& o, const std::vector<DeviceProfile>& devices,
                             const std::string& cpu) {
  Report r;
  r.name = name_of(o.model);
  r.cpu = cpu;
  TextModel model = NB_TRY(TextModel::load(o.model, o.activations, o.windows.context));
  TextModel reference = NB_TRY(TextModel::load(o.against, Activations::kFloat, o.windows.context));
  std::string record = o.model + "/nibble.json";
  if (path_exists(record)) r.record = NB_TRY(read_json(record));
  if (r.record.is_object())
    r.linears = NB_TRY(linears_of(r.record, record, model.decoder.config().layers));

  const Tokenizer& tokenizer = *NB_TRY(reference.need_tokenizer());
  std::vector<Window> windows =
      NB_TRY(held_out_windows(model.decoder, &reference.decoder, tokenizer, o.text, o.windows));
  TokenScores scores = score_windows(model.decoder, &reference.decoder, windows);
  r.loss = NB_TRY(evaluation_of(model.decoder, &reference.decoder, windows, scores));
  r.worst = NB_TRY(worst_of(scores, windows, tokenizer));
  r.kl = std::move(scores.kl);
  r.versions = NB_TRY(measure_beside(o));
  r.devices = fits_on(devices, r, model.decoder);
  std::vector<std::string> prompts = o.prompts;
  if (prompts.empty()) prompts = NB_TRY(prompts_from(windows, tokenizer));
  if (o.writing != o.activations)
    model = NB_TRY(TextModel::load(o.model, o.writing, o.windows.context));
  r.writing = model.decoder.arithmetic();
  auto [small, small_rate] = NB_TRY(write_samples(model, prompts, o.sample_tokens));
  auto [whole, whole_rate] = NB_TRY(write_samples(reference, prompts, o.sample_tokens));
  for (size_t i = 0; i < prompts.size(); ++i) r.samples.push_back({prompts[i], whole[i], small[i]});
  r.tokens_per_second = small_rate;
  r.float_tokens_per_second = whole_rate;
  return r;
}

}  // namespace nibble
