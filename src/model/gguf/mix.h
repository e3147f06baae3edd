// llama.cpp's mixtures of block types: which matrix of a model gets which.
// Source: ggml-org/llama.cpp, src/llama-quant.cpp (llama_tensor_get_type_impl,
// tensor_type_fallback) and include/llama.h (enum llama_ftype).
#pragma once

#include <array>
#include <string_view>

#include "model/config.h"
#include "model/names.h"
#include "tensor/ggml_blocks.h"

namespace nibble {

struct GgufMix {
  enum class Name : uint8_t { kPure, kQ2, kQ2S, kQ3M, kQ3L, kQ4S, kQ4M, kQ5M, kOther };

  const char* name;           // as --scheme and --to gguf: take it
  const char* type;           // of most matrices
  int64_t file_type;          // general.file_type
  Name rules = Name::kOther;  // kPure: one type for all linears; kOther: what all mixtures share
};

inline constexpr std::array kGgufMixes = {
    GgufMix{"f32", "F32", 0, GgufMix::Name::kPure},
    GgufMix{"f16", "F16", 1, GgufMix::Name::kPure},
    GgufMix{"bf16", "BF16", 32, GgufMix::Name::kPure},
    GgufMix{"q8_0", "Q8_0", 7},
    GgufMix{"q6_k", "Q6_K", 18},
    GgufMix{"q5_k_m", "Q5_K", 17, GgufMix::Name::kQ5M},
    GgufMix{"q5_k_s", "Q5_K", 16},
    GgufMix{"q5_k", "Q5_K", 17, GgufMix::Name::kPure},
    GgufMix{"q5_1", "Q5_1", 9},
    GgufMix{"q5_0", "Q5_0", 8},
    GgufMix{"q4_k_m", "Q4_K", 15, GgufMix::Name::kQ4M},
    GgufMix{"q4_k_s", "Q4_K", 14, GgufMix::Name::kQ4S},
    GgufMix{"q4_k", "Q4_K", 15, GgufMix::Name::kPure},
    GgufMix{"q4_1", "Q4_1", 3},
    GgufMix{"q4_0", "Q4_0", 2},
    GgufMix{"iq4_nl", "IQ4_NL", 25},
    GgufMix{"iq4_xs", "IQ4_XS", 30},
    GgufMix{"q3_k_l", "Q3_K", 13, GgufMix::Name::kQ3L},
    GgufMix{"q3_k_m", "Q3_K", 12, GgufMix::Name::kQ3M},
    GgufMix{"q3_k_s", "Q3_K", 11},
    GgufMix{"q3_k", "Q3_K", 12, GgufMix::Name::kPure},
    GgufMix{"q2_k", "Q2_K", 10, GgufMix::Name::kQ2},
    GgufMix{"q2_k_s", "Q2_K", 21, GgufMix::Name::kQ2S},
};
// Null where there is none of that name.
const GgufMix* find_gguf_mix(std::string_view name);

// The type of a block's linear before gguf_type_for_row. `calibrated`: its quantizer knows the
// inputs, which llama.cpp's does with an imatrix.
const GgmlType& gguf_linear_type(const GgufMix& mix, const DecoderConfig& c, int64_t layer,
                                 Role role, bool calibrated);
// Of the matrix that the head multiplies by, which may be the embedding's, or of an embedding apart
// from it. k: its columns.
const GgmlType& gguf_head_type(const GgufMix& mix, const DecoderConfig& c, int64_t k);
const GgmlType& gguf_embedding_type(const GgufMix& mix, const DecoderConfig& c, int64_t k);

// The type itself where rows of k are whole blocks of it, else the one that llama.cpp's quantizer
// takes in its place.
const GgmlType& gguf_type_for_row(const GgmlType& type, int64_t k);

}  // namespace nibble
