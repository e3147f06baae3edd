// A page about one quantized model: what was done, what it cost, where it hurts, where it fits.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/json.h"
#include "device/profile.h"
#include "eval/evaluation.h"

namespace nibble {

struct ReportOptions {
  std::string model, against;  // the quantized model's folder, the float one's
  std::string text;            // held-out
  WindowOptions windows;
  // Of the candidate: how it is scored, as `nibble eval` does, and how it writes, as `nibble run`.
  Activations activations = Activations::kFloat;
  Activations writing = Activations::kInt8Block32;
  std::vector<std::string> beside;   // other quantized versions, for the picture of size and loss
  std::vector<std::string> prompts;  // continued greedily by both; empty: taken from the text
  int64_t sample_tokens = 40;
};

// A linear in the map of errors.
struct ReportLinear {
  int64_t block = -1;  // -1: in none, as a head
  std::string name;    // "self_attn.q_proj"
  std::string scheme;
  int bits = 0;
  double error = 0;  // relative, as quantize reported it
};

// A token at which the quantized model moved far from the float one.
struct WorstToken {
  std::string before, token;            // the text up to it, and what came
  double kl = 0;                        // nats
  double likely = 0, likely_float = 0;  // how likely each thought it
};

struct Sample {
  std::string prompt, by_float, by_model;
};

// A version in the picture of size and loss.
struct ReportVersion {
  std::string name;
  int64_t bytes = 0;  // of all tensors
  double bits = 0, kl = 0, top1 = 0;
};

struct DeviceFit {
  std::string device;
  bool fits = false;        // weights and a cache of 2,048 tokens in the memory beside the system
  double milliseconds = 0;  // a token at least: the bytes that it reads, over the bus
  // Its profile lists the widths in use; nothing where they are not known.
  std::optional<bool> scheme_runs = {};
};

struct Report {
  std::string name;
  Json record;  // nibble.json; null where the folder has none
  Evaluation loss;
  std::string arithmetic;  // of it, in words; its caller's to say
  std::vector<ReportLinear> linears;
  std::vector<double> kl;  // of every scored token
  std::vector<WorstToken> worst;
  std::vector<ReportVersion> versions;  // the others', by bytes; this one is none of them
  std::vector<Sample> samples;
  // While the samples were written; how, in linears and in its caller's words.
  double tokens_per_second = 0, float_tokens_per_second = 0;
  ArithmeticCounts writing;
  std::string writing_arithmetic;
  std::string cpu;
  std::vector<DeviceFit> devices;
};

// As one of the versions.
ReportVersion version_of(const std::string& name, const Evaluation& loss);
// The report's others, and last this one.
std::vector<ReportVersion> all_versions(const Report& report);
// Those that no other is as small as and closer to the float model, by bytes.
std::vector<ReportVersion> front_of(std::vector<ReportVersion> versions);

// Measures all of it. `devices`: the profiles to judge.
Result<Report> gather_report(const ReportOptions& options,
                             const std::vector<DeviceProfile>& devices, const std::string& cpu);

// Text of a model on one line: each line break as a return sign.
std::string with_breaks_shown(std::string_view text);

// The page as one file of HTML 5, and as Markdown.
std::string report_html(const Report& report);
std::string report_markdown(const Report& report);

}  // namespace nibble
