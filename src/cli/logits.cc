#include <filesystem>

#include "base/checked.h"
#include "base/file.h"
#include "base/log.h"
#include "cli/common.h"
#include "cli/help.h"
#include "formats/safetensors.h"
#include "model/decoder.h"

namespace nibble {
namespace {

struct LogitsOptions {
  std::string model, lora, ids, output;
  int64_t chunk = 0;
  bool hidden = false, json = false, dry_run = false;
  Activations activations = Activations::kFloat;
};

// What a forward pass leaves. logits: (tokens, vocab); hidden:
// (hidden_states, tokens, hidden).
struct Outputs {
  std::vector<float> logits, hidden;
};

// A tensor that keeps its values alive without a second copy of them.
NamedTensor tensor_of(const char* name, std::vector<int64_t> shape, std::vector<float> values) {
  auto owner = std::make_shared<const std::vector<float>>(std::move(values));
  return {name, {DType::kF32, std::move(shape), std::as_bytes(std::span(*owner)), owner, nullptr}};
}

// The model's own files are no place for output: the run would end with the model gone.
Status check_output(const std::string& output, const std::string& folder) {
  std::error_code ec;
  auto parent = std::filesystem::absolute(output, ec).parent_path();
  if (path_exists(output) && (std::filesystem::equivalent(parent, folder, ec) ||
                              std::filesystem::equivalent(output, folder, ec)))
    return fail("{}: is a file of the model itself; name another", output);
  return {};
}

Outputs compute(const Decoder& decoder, std::span<const int32_t> ids, size_t chunk, bool hidden) {
  const DecoderConfig& c = decoder.config();
  auto width = static_cast<size_t>(c.hidden);
  Outputs out;
  out.logits.reserve(ids.size() * static_cast<size_t>(c.vocab));
  if (hidden) out.hidden.resize(static_cast<size_t>(c.hidden_states()) * ids.size() * width);
  KvCache cache = decoder.make_cache(static_cast<int64_t>(ids.size()));
  Progress progress("tokens", static_cast<int64_t>(ids.size()));
  std::vector<float> logits;
  for (size_t at = 0; at < ids.size(); at += chunk) {
    auto part = ids.subspan(at, std::min(chunk, ids.size() - at));
    Decoder::Tap tap;
    if (hidden)
      tap = [&](int64_t layer, std::span<const float> h) {
        size_t row = static_cast<size_t>(layer) * ids.size() + at;
        std::copy(h.begin(), h.end(), out.hidden.begin() + static_cast<int64_t>(row * width));
      };
    Slice slice{&cache, static_cast<int64_t>(at), static_cast<int64_t>(part.size())};
    decoder.forward(part, {&slice, 1}, Decoder::Rows::kAll, logits, tap);
    out.logits.insert(out.logits.end(), logits.begin(), logits.end());
    progress.step(static_cast<int64_t>(at + part.size()));
  }
  return out;
}

Result<int> logits(const LogitsOptions& o) {
  std::vector<int32_t> ids = NB_TRY(parse_ids(o.ids));
  if (ids.empty()) return usage("--ids names no token");
  auto tokens = static_cast<int64_t>(ids.size());
  std::string folder = NB_TRY(model_folder(o.model));
  NB_OK(check_output(o.output, folder));
  Decoder decoder =
      NB_TRY(Decoder::load(NB_TRY(Weights::open(folder, o.lora)), o.activations, tokens));
  const DecoderConfig& c = decoder.config();
  NB_OK(check_ids(ids, c.vocab));
  if (tokens > c.context) warn("the model was made for a context of {}", c.context);
  std::string arithmetic = NB_TRY(describe_arithmetic(o.activations, decoder.arithmetic()));

  std::vector<int64_t> logits_shape = {tokens, c.vocab},
                       hidden_shape = {c.hidden_states(), tokens, c.hidden};
  int64_t bytes =
      4 * (*checked_product(logits_shape) + (o.hidden ? *checked_product(hidden_shape) : 0));
  NB_OK(check_free_space(o.output, bytes));
  Json report = {{"file", o.output}, {"logits", logits_shape}};
  if (o.hidden) report["hidden_states"] = hidden_shape;
  report["bytes"] = bytes;
  report["arithmetic"] = arithmetic;
  report["written"] = !o.dry_run;
  if (!o.dry_run) {
    Outputs out =
        compute(decoder, ids, static_cast<size_t>(o.chunk > 0 ? o.chunk : tokens), o.hidden);
    std::vector<NamedTensor> tensors;
    tensors.push_back(tensor_of("logits", logits_shape, std::move(out.logits)));
    if (o.hidden)
      tensors.push_back(tensor_of("hidden_states", hidden_shape, std::move(out.hidden)));
    NB_OK(write_safetensors(o.output, std::move(tensors), {{"arithmetic", arithmetic}}));
  }
  if (o.json)
    put_json(report);
  else
    put_line("{}{}: logits {}{}, {}; arithmetic: {}", o.dry_run ? "would write " : "", o.output,
             shape_text(logits_shape),
             o.hidden ? ", hidden_states " + shape_text(hidden_shape) : "", bytes_text(bytes),
             arithmetic);
  return 0;
}

CommandBody setup(CLI::App& app) {
  auto o = std::make_shared<LogitsOptions>();
  add_model_option(app, o->model);
  add_lora_option(app, o->lora);
  app.add_option("--ids", o->ids, "Token ids to feed, as 1,5,9")->required()->type_name("LIST");
  app.add_option("-o,--output", o->output,
                 "Safetensors file to write: logits [tokens, vocab], float32")
      ->required()
      ->type_name("FILE");
  app.add_flag(
      "--hidden", o->hidden,
      "Also hidden_states [layers + 1, tokens, hidden]: after the embedding and each block, "
      "the last after the final norm");
  app.add_option("--chunk", o->chunk, "Feed N tokens at a time through the cache (default: all)")
      ->check(within(1, 1 << 24))
      ->type_name("N");
  add_activations_option(app, o->activations);
  add_threads_option(app);
  add_dry_run_option(app, o->dry_run);
  add_json_option(app, o->json);
  app.footer("Example: nibble logits --ids 0,427,437,259,395 -o l.safetensors");
  return [o] { return logits(*o); };
}

}  // namespace

const Command kCommand_logits = {"logits", "the model's raw answers to token ids, as a file",
                                 setup};

}  // namespace nibble
