#include "quant/job.h"

#include <algorithm>

#include "base/log.h"
#include "formats/compressed_tensors.h"
#include "model/decoder.h"
#include "model/size.h"
#include "quant/grid_search.h"
#include "quant/journal.h"

namespace nibble {
namespace {

// Asked for a tokenizer, the folder's own rules decide what begins a text; then config.json.
Result<CalibrationSet> calibrate_on(const QuantizeOptions& o, const Weights& weights) {
  if (o.calibration.windows < 1 || o.calibration.windows > 1'000'000 || o.calibration.length < 2 ||
      o.calibration.length > 1'000'000)
    return usage("calibration takes 1 to 1,000,000 windows of 2 to 1,000,000 tokens");
  const DecoderConfig& c = weights.config();
  int32_t bos = std::max(c.bos, 0);
  if (o.calibration.text.empty()) {
    Decoder decoder = NB_TRY(Decoder::load(o.model, Activations::kFloat));
    return windows_of_model(decoder, bos, o.calibration);
  }
  auto tokenizer = NB_TRY(load_tokenizer(o.model));
  if (tokenizer->bos) bos = *tokenizer->bos;
  CalibrationSet set = NB_TRY(windows_of_text(*tokenizer, bos, o.calibration));
  for (const auto& w : set.windows)
    for (int32_t id : w)
      if (id < 0 || id >= c.vocab)
        return fail("{}: the tokenizer gives id {}, the model has {} embeddings", o.model, id,
                    c.vocab);
  return set;
}

// The rule of thumb of quality.md 2: below four tokens a column, damping decides more than data.
void warn_if_small(const CalibrationSet& set, const DecoderConfig& c) {
  int64_t widest = std::max({c.hidden, c.mlp, c.q_dim()});
  if (set.tokens() < 4 * widest)
    warn("{} calibration tokens are few for the widest layer's {} inputs; give at least {}",
         set.tokens(), widest, 4 * widest);
}

Status check_source(const QuantizeOptions& o, const Weights& weights) {
  const DecoderConfig& c = weights.config();
  for (int64_t layer = 0; layer < c.layers; ++layer)
    for (const LinearSpec& spec : block_linears(c, layer))
      if (weights.scheme_of(spec.module))
        return fail("{}: is quantized already ({}); quantize the float model instead", o.model,
                    spec.module);
  return {};
}

void add_to_record(ArtifactRecord& record, const QuantizedBlock& block) {
  for (const QuantizedLinear& l : block.linears)
    record.modules.push_back(
        {l.spec.module, l.matrix.scheme().name(), l.spec.n, l.spec.k, l.error});
  for (const std::string& note : block.notes) {
    warn("{}", note);
    record.notes.push_back(note);
  }
}

// Every block: taken from the journal where an earlier run finished it, else quantized and saved.
Status run_blocks(const QuantizeOptions& o, const Weights& weights, const Method& method,
                  const Journal& journal, QuantizeReport& report) {
  const DecoderConfig& c = weights.config();
  BlockPass pass =
      NB_TRY(BlockPass::create(weights, method, o.scheme, o.method_options, report.record.windows));
  Progress progress("block", c.layers);
  for (int64_t layer = 0; layer < c.layers; ++layer) {
    auto done = NB_TRY(journal.load(layer, block_linears(c, layer), o.scheme));
    if (done) {
      NB_OK(pass.replay(layer, done->linears));
      ++report.blocks_resumed;
    } else {
      done = NB_TRY(pass.quantize(layer));
      NB_OK(journal.save(layer, *done));
    }
    add_to_record(report.record, *done);
    double worst = 0;
    for (const QuantizedLinear& l : done->linears) worst = std::max(worst, l.error);
    progress.step(layer + 1, fmt::format("(largest relative error {:.2g})", worst));
  }
  return {};
}

// The head is always rounded to nearest: its inputs are final, there is nothing to compensate.
Result<std::vector<NamedTensor>> quantize_head(const QuantizeOptions& o, const Weights& weights,
                                               ArtifactRecord& record) {
  if (!o.head) return std::vector<NamedTensor>{};
  const DecoderConfig& c = weights.config();
  std::string stored = kHeadModule;
  if (c.tied_head) {
    stored = kEmbeddingName.substr(0, kEmbeddingName.rfind('.'));
    note("the tied head is stored as an lm_head of its own");
  }
  FloatMatrix m = NB_TRY(load_matrix(weights, stored, c.vocab, c.hidden, *o.head));
  QuantizedMatrix q = round_to_nearest(m, minmax_grids(m));
  record.modules.push_back(
      {kHeadModule, o.head->name(), c.vocab, c.hidden, relative_error(m, q, nullptr)});
  return to_compressed_tensors(kHeadModule, q);
}

// What the job needs on disk: the blocks' files and then the artifact, before the former are gone.
int64_t disk_need(const Weights& weights, const Scheme& scheme) {
  const DecoderConfig& c = weights.config();
  int64_t quantized = 0, kept = 0;
  for (const NamedTensor& t : weights.checkpoint().tensors())
    kept += static_cast<int64_t>(t.view.bytes.size());
  for (int64_t layer = 0; layer < c.layers; ++layer)
    for (const LinearSpec& s : block_linears(c, layer)) {
      quantized += s.n * QuantizedMatrix::row_bytes(scheme, s.k) +
                   4 * QuantizedMatrix::scale_count(scheme, s.n, s.k);
      if (auto w = weights.checkpoint().get(s.module + ".weight"))
        kept -= static_cast<int64_t>(w->bytes.size());
    }
  return 2 * quantized + kept;
}

double planned_bits(const DecoderConfig& c, const Scheme& scheme) {
  int64_t bytes = 0, count = 0;
  for (const LinearSpec& s : block_linears(c, 0)) {
    bytes += QuantizedMatrix::stored_bytes(scheme, s.n, s.k);
    count += s.n * s.k;
  }
  return 8. * static_cast<double>(bytes) / static_cast<double>(count);
}

std::string why_only(const ArtifactRecord& record) {
  std::vector<QuantizedModule> modules;
  std::vector<std::pair<int64_t, int64_t>> shapes;
  for (const ModuleReport& m : record.modules) {
    modules.push_back({m.module, *Scheme::parse(m.scheme)});
    shapes.emplace_back(m.n, m.k);
  }
  return why_only_nibble(modules, shapes);
}

}  // namespace

Result<QuantizeReport> quantize_model(const QuantizeOptions& o) {
  const Method* method = NB_TRY(find_method(o.method));
  Weights weights = NB_TRY(Weights::open(o.model));
  NB_OK(check_source(o, weights));
  if (!o.force && path_exists(o.output))
    return fail("{}: already exists; name another folder or give --force", o.output);
  NB_OK(check_free_space(o.output, disk_need(weights, o.scheme)));

  QuantizeReport report;
  ArtifactRecord& record = report.record;
  record.method = o.method;
  record.scheme = o.scheme;
  record.head = o.head;
  record.options = o.method_options;
  record.calibration = o.calibration;
  if (method->need != InputStatistics::Need::kNothing) {
    record.windows = NB_TRY(calibrate_on(o, weights));
    warn_if_small(record.windows, weights.config());
  }
  if (o.dry_run) {
    report.bits_per_weight = planned_bits(weights.config(), o.scheme);
    return report;
  }
  record.source_digest = NB_TRY(weights.checkpoint().digest());

  OutputFolder out = NB_TRY(OutputFolder::create(o.output, o.force, o.resume));
  Journal journal = NB_TRY(Journal::open(out.staging(), fingerprint(record)));
  NB_OK(run_blocks(o, weights, *method, journal, report));
  std::vector<NamedTensor> tensors = NB_TRY(quantize_head(o, weights, record));
  int64_t layers = weights.config().layers;
  for (int64_t layer = 0; layer < layers; ++layer)
    for (NamedTensor& t : NB_TRY(journal.tensors(layer))) tensors.push_back(std::move(t));
  NB_OK(write_artifact(out, weights, record, std::move(tensors)));
  NB_OK(journal.clear(layers));
  NB_OK(out.publish());

  Weights written = NB_TRY(Weights::open(o.output));
  SizeReport size = NB_TRY(measure_size(written));
  report.bits_per_weight = size.bits_per_weight();
  report.bytes = size.file_bytes;
  size.parameters = NB_TRY(measure_size(weights)).parameters;
  report.file_bits = size.file_bits();
  report.only_nibble = why_only(record);
  return report;
}

}  // namespace nibble
