#include "export/round_trip.h"

#include <cmath>

#include "base/panels.h"
#include "export/row_reader.h"

namespace nibble {
namespace {

struct Matrix {
  std::string source, written;  // modules
  int64_t n, k;
};

// The matrices of both in pairs.
Result<std::vector<Matrix>> pairs(const Weights& source, const Weights& written) {
  const DecoderConfig &a = source.config(), &b = written.config();
  auto differ = [&](const char* what) {
    return fail("{} and {}: differ in {}, so they are not the same model",
                source.checkpoint().folder(), written.checkpoint().folder(), what);
  };
  if (a.layers != b.layers) return differ("the number of layers");
  if (a.vocab != b.vocab || a.embedding_width != b.embedding_width) return differ("the vocabulary");
  std::vector<Matrix> out;
  for (int64_t layer = 0; layer < a.layers; ++layer) {
    std::vector<LinearSpec> x = block_linears(a, layer), y = block_linears(b, layer);
    if (x.size() != y.size()) return differ("the linears of a block");
    for (size_t i = 0; i < x.size(); ++i) {
      if (x[i].n != y[i].n || x[i].k != y[i].k) return differ("the shape of a linear");
      out.push_back({x[i].module, y[i].module, x[i].n, x[i].k});
    }
  }
  std::vector<MatrixSpec> x = other_matrices(a), y = other_matrices(b);
  if (x.size() != y.size()) return differ("the matrices beside the blocks' linears");
  for (size_t i = 0; i < x.size(); ++i) {
    if (x[i].n != y[i].n || x[i].k != y[i].k) return differ("the shape of a matrix");
    out.push_back({x[i].module, y[i].module, x[i].n, x[i].k});
  }
  out.push_back({embedding_module(a), embedding_module(b), a.vocab, a.embedding_width});
  if (!a.tied_head || !b.tied_head)
    out.push_back({head_source(a), head_source(b), a.vocab, a.embedding_width});
  return out;
}

// Norms as they act and biases of both in pairs.
Status compare_vectors(const Weights& source, const Weights& written, MatrixComparison& out) {
  const DecoderConfig &a = source.config(), &b = written.config();
  auto norm = [&](const NormSpec& x, const NormSpec& y) -> Status {
    Norm p = NB_TRY(source.norm(x)), q = NB_TRY(written.norm(y));
    out.add_vector(p.weight, q.weight);
    if (!p.bias.empty() || !q.bias.empty()) out.add_vector(p.bias, q.bias);
    return {};
  };
  if (a.embedding_norm && b.embedding_norm) NB_OK(norm(embedding_norm(a), embedding_norm(b)));
  if (a.final_norm && b.final_norm) NB_OK(norm(final_norm(a), final_norm(b)));
  for (int64_t layer = 0; layer < a.layers; ++layer) {
    std::vector<NormSpec> x = block_norms(a, layer), y = block_norms(b, layer);
    if (x.size() != y.size())
      return fail("{} and {}: differ in the norms of a block", source.checkpoint().folder(),
                  written.checkpoint().folder());
    for (size_t i = 0; i < x.size(); ++i) NB_OK(norm(x[i], y[i]));
    std::vector<LinearSpec> l = block_linears(a, layer), m = block_linears(b, layer);
    for (size_t i = 0; i < l.size(); ++i) {
      std::vector<float> p = NB_TRY(source.bias(l[i])), q = NB_TRY(written.bias(m[i]));
      if (!p.empty() || !q.empty()) out.add_vector(p, q);
    }
  }
  return {};
}

double sum_of_squares(int64_t n, int64_t k, const MatrixComparison::Row& row) {
  std::vector<double> parts(static_cast<size_t>(ceil_div(n, kPanelRows)));
  each_panel(n, [&](int64_t first, int64_t count) {
    double& part = parts[static_cast<size_t>(first / kPanelRows)];
    std::vector<float> values(static_cast<size_t>(k));
    for (int64_t r = first; r < first + count; ++r) {
      row(r, values.data());
      for (float v : values) part += static_cast<double>(v) * v;
    }
  });
  double sum = 0;
  for (double part : parts) sum += part;
  return sum;
}

struct Sums {
  double squares = 0, total = 0, largest = 0;
};

// Eight sums at a time: one would wait for itself.
void add_row(std::span<const float> a, const float* b, Sums& out) {
  constexpr size_t kLanes = 8;
  double squares[kLanes] = {}, total[kLanes] = {};
  float largest[kLanes] = {};
  bool unknown = false;
  auto add = [&](size_t i, size_t lane) {
    float d = b[i] - a[i];
    squares[lane] += static_cast<double>(d) * d;
    total[lane] += static_cast<double>(a[i]) * a[i];
    largest[lane] = std::max(largest[lane], std::abs(d));
    unknown |= d != d;
  };
  size_t whole = a.size() / kLanes * kLanes;
  for (size_t i = 0; i < whole; i += kLanes)
    for (size_t lane = 0; lane < kLanes; ++lane) add(i + lane, lane);
  for (size_t i = whole; i < a.size(); ++i) add(i, i - whole);
  for (size_t lane = 0; lane < kLanes; ++lane) {
    out.squares += squares[lane];
    out.total += total[lane];
    out.largest = std::max(out.largest, static_cast<double>(largest[lane]));
  }
  if (unknown) out.largest = HUGE_VAL;
}

}  // namespace

void MatrixComparison::add(const std::string& module, int64_t n, int64_t k, const Row& source,
                           const Row& written) {
  add(module, n, k, source, [&written, k](int64_t first, int64_t count, float* out) {
    for (int64_t r = 0; r < count; ++r) written(first + r, out + r * k);
  });
}

void MatrixComparison::add(const std::string& module, int64_t n, int64_t k, const Row& source,
                           const Rows& written) {
  std::vector<Sums> parts(static_cast<size_t>(ceil_div(n, kPanelRows)));
  each_panel(n, [&](int64_t first, int64_t count) {
    Sums& s = parts[static_cast<size_t>(first / kPanelRows)];
    std::vector<float> a(static_cast<size_t>(k)), all(static_cast<size_t>(count * k));
    written(first, count, all.data());
    for (int64_t r = 0; r < count; ++r) {
      source(first + r, a.data());
      add_row(a, all.data() + r * k, s);
    }
  });
  Sums all;
  for (const Sums& s : parts) {
    all.squares += s.squares;
    all.total += s.total;
    all.largest = std::max(all.largest, s.largest);
  }
  ++out_.linears;
  out_.exact += all.largest == 0;
  out_.largest = std::max(out_.largest, all.largest);
  squares_ += all.squares;
  total_ += all.total;
  double own = all.total > 0 ? all.squares / all.total : all.largest > 0 ? HUGE_VAL : 0;
  if (own > worst_ || std::isnan(own)) {
    worst_ = own;
    out_.worst = module;
  }
}

void MatrixComparison::add_vector(std::span<const float> source, std::span<const float> written,
                                  bool runs_as_written) {
  bool equal = std::ranges::equal(source, written);
  ++out_.vectors;
  out_.exact_vectors += equal;
  out_.foreign_vectors += !equal && !runs_as_written;
}

void MatrixComparison::add_equal(int64_t n, int64_t k, Row source) {
  ++out_.linears;
  ++out_.exact;
  equal_.push_back({n, k, std::move(source)});
}

RoundTrip MatrixComparison::finish() const {
  RoundTrip out = out_;
  double total = total_;
  if (squares_ > 0)
    for (const Equal& m : equal_) total += sum_of_squares(m.n, m.k, m.source);
  out.error = total > 0 ? std::sqrt(squares_ / total) : 0;
  return out;
}

Result<RoundTrip> compare_weights(const Weights& source, const Weights& written) {
  MatrixComparison sums;
  for (const Matrix& m : NB_TRY(pairs(source, written))) {
    RowReader a = NB_TRY(RowReader::open(source, m.source, m.n, m.k));
    RowReader b = NB_TRY(RowReader::open(written, m.written, m.n, m.k));
    if (a.same_bytes(b) || a.same_integers(b))
      sums.add_equal(m.n, m.k, a);
    else
      sums.add(m.source, m.n, m.k, a, b);
    a.release();
    b.release();
  }
  NB_OK(compare_vectors(source, written, sums));
  RoundTrip out = sums.finish();
  out.size = NB_TRY(measure_size(written));
  out.size.parameters = NB_TRY(measure_size(source)).parameters;
  return out;
}

std::string RoundTrip::verdict() const {
  if (lossless())
    return fmt::format("lossless: {} of {} matrices and {} of {} vectors bit for bit", exact,
                       linears, exact_vectors, vectors);
  std::string out =
      exact == linears
          ? fmt::format("{} of {} matrices bit for bit", exact, linears)
          : fmt::format(
                "{}{}, weights' relative error {:.2g}, largest difference {:.2g}; {} of {} "
                "matrices bit for bit",
                error > 2e-3 ? "requantized" : "rounded",
                kl_added ? fmt::format(", KL {:+.5f}", *kl_added) : "", error, largest, exact,
                linears);
  if (exact_vectors != vectors)
    out += fmt::format("; {} of {} norms and biases rounded", vectors - exact_vectors, vectors);
  return out;
}

Json RoundTrip::json() const {
  Json j = {{"lossless", lossless()},  {"verdict", verdict()},
            {"matrices", linears},     {"exact_matrices", exact},
            {"relative_error", error}, {"largest_difference", largest},
            {"vectors", vectors},      {"exact_vectors", exact_vectors}};
  if (!worst.empty()) j["worst"] = worst;
  if (kl_added) j["kl_added"] = *kl_added;
  return j;
}

}  // namespace nibble
