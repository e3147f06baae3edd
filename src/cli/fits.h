// What can be done with a model of this shape: methods, transforms, and the forms of other
// programs, which hold only matrices of certain sizes.
#pragma once

#include <string>
#include <vector>

#include "model/roles.h"
#include "model/weights.h"

namespace nibble {

// A method or a transform of quantize, or a format of export.
struct Applicable {
  std::string name, summary;
  bool calibrated = false;  // wants a calibration text or statistics
  bool applies = true;
  std::string note;  // why it does nothing here, or less than elsewhere; may be empty
};
std::vector<Applicable> applicable_methods(const DecoderConfig& config);
std::vector<Applicable> applicable_transforms(const DecoderConfig& config);
// For every format of exports.inc: whether `nibble export` would write this folder as it is, with
// what is lost or why not, by shapes, types and schemes ("lossless if ..." where values decide).
// Without weights: whether the format has the family.
std::vector<Applicable> applicable_exports(const DecoderConfig& config, const Weights* weights);

// The blocks' linears that a form cannot hold.
struct Misfit {
  std::string why;  // "576 inputs are no multiple of 256"
  int64_t linears = 0;
  std::string example;  // the first of their modules
};
struct Fit {
  const char* form;
  int64_t linears = 0;  // that it holds
  std::vector<Misfit> skipped;
  std::string refused;    // why it holds no such model at all; empty: it does
  const char* otherwise;  // what becomes of the skipped ones
};
// For every form of the table in fits.cc.
std::vector<Fit> fits(const DecoderConfig& config);

}  // namespace nibble
