// llama.cpp's importance matrices: the mean square of every input of a model's matrices, as
// llama-imatrix gathers them and llama-quantize takes them.
// Source: ggml-org/llama.cpp, tools/imatrix/imatrix.cpp and common/imatrix-loader.cpp.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "base/result.h"

namespace nibble {

struct Imatrix {
  struct Entry {
    std::vector<float> squares;   // (matrices, k): sums of x^2 over what `counts` counts
    std::vector<int64_t> counts;  // (matrices): tokens; of the older form runs, one for all
    // Of matrix i, of k inputs; empty where nothing reached it.
    std::vector<double> means(size_t i, size_t k) const;
  };
  std::map<std::string, Entry> entries;  // by the names that GGUF has for tensors
  std::vector<std::string> datasets;     // what it was gathered on
  int64_t chunks = 0, chunk_size = 0;    // tokens of a chunk
};

// Either form: GGUF, or the older one without a magic number. Refuses sizes beyond the file and
// numbers that are not finite or below 0.
Result<Imatrix> read_imatrix(const std::string& path);
// The older form where the name ends in .dat, else GGUF.
Status write_imatrix(const std::string& path, const Imatrix& imatrix);

}  // namespace nibble
