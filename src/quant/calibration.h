// The tokens that calibration runs on.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/result.h"
#include "text/tokenizer.h"

namespace nibble {

class Decoder;
class Weights;

struct CalibrationOptions {
  std::string
      text;  // path of a UTF-8 text, "-" for standard input; empty: the model writes its own
  int64_t windows = 64;
  int64_t length = 512;  // tokens a window, the begin-of-text token included
  uint32_t seed = 0;
  bool few_suffice = false;  // of tokens for each input: no warning
};

struct CalibrationSet {
  std::vector<std::vector<int32_t>> windows;
  std::string source;  // what they are, for people and nibble.json
  std::string hash;    // XXH3 of the ids
  int64_t tokens() const;
};

// Windows of begin-of-text + (length - 1) tokens at random starts of the text. The starts are those
// of Python's random.seed(seed); random.randrange(n), so that peers run on the same windows. A text
// shorter than a window gives one short window; an empty one is an error.
Result<CalibrationSet> windows_of_text(const Tokenizer& tokenizer, int32_t bos,
                                       const CalibrationOptions& options);

// Windows that the model itself writes, sampled at temperature 1 from begin-of-text (data-free
// calibration: arXiv 2305.17888, 2410.17170).
Result<CalibrationSet> windows_of_model(const Decoder& decoder, int32_t bos,
                                        const CalibrationOptions& options);

// What calibrating `model`, a folder whose weights are given, runs on: windows of options.text
// under the folder's own tokenizer, or of the model's writing. Warns where they are few for its
// widths.
Result<CalibrationSet> calibration_windows(const std::string& model, const Weights& weights,
                                           const CalibrationOptions& options);

}  // namespace nibble
