// `nibble plan --matrix`: goals against ways of quantizing, every cell measured.
#pragma once

#include <string>

#include "base/result.h"

namespace nibble {

struct MatrixOptions {
  std::string model;        // folder of the float model
  std::string text;         // held-out
  std::string calibration;  // text for calibrated methods; empty: the model writes its own
  std::string output;       // FILE.md or FILE.html
  int64_t tokens = 0;       // of the text; 0: all
  int64_t prompt = 512;     // tokens of the prefill that is timed
  // Of calibration, as `quantize --windows` and --window-length take them; empty: its default.
  std::string windows, window_length;
  bool json = false;
};
Result<int> write_matrix(const MatrixOptions& options);

}  // namespace nibble
