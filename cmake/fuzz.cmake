# nibble_fuzz_NAME of each fuzz/NAME.cc, under libFuzzer where clang has it, else over its corpus
# alone. They need the rooms that read strangers' files, of model/ the config alone, and of export/
# the readers of graphs.
include(CheckCXXSourceCompiles)
find_package(Threads REQUIRED)
find_package(PkgConfig REQUIRED)
find_package(fmt REQUIRED)
find_package(nlohmann_json REQUIRED)
pkg_check_modules(PCRE2 REQUIRED IMPORTED_TARGET libpcre2-8)
pkg_check_modules(UTF8PROC REQUIRED IMPORTED_TARGET libutf8proc)
pkg_check_modules(XXHASH REQUIRED IMPORTED_TARGET libxxhash)
set(CMAKE_REQUIRED_FLAGS "-fsanitize=fuzzer")
check_cxx_source_compiles("#include <cstddef>\n#include <cstdint>\n\
extern \"C\" int LLVMFuzzerTestOneInput(const uint8_t*, size_t) { return 0; }" NIBBLE_HAS_LIBFUZZER)
unset(CMAKE_REQUIRED_FLAGS)

set(read "safetensors|gguf|ggml_blocks|pickle|pytorch_bin|zip")
set(graphs "onnx/(file|graph|tensorrt)|tflite/file|lint/(edgetpu|hexagon|myriad_x|tensorrt)")
list(FILTER sources INCLUDE REGEX
  "/src/(base|tensor|kernels|text|jinja|model/archs)/|/formats/(${read})\\.cc$|/model/config[a-z_]*\\.cc$|/export/(${graphs})\\.cc$")
set(instrument address,undefined)
if(NIBBLE_HAS_LIBFUZZER)
  set(instrument fuzzer-no-link,address,undefined)
endif()
add_library(nibble_fuzzed STATIC ${sources})
target_include_directories(nibble_fuzzed PUBLIC src)
target_compile_definitions(nibble_fuzzed PUBLIC NIBBLE_VERSION="${PROJECT_VERSION}")
# Half the time of -O2 and full debugging information; a report's lines stay.
target_compile_options(nibble_fuzzed PUBLIC -Wall -Wextra -Wno-gnu-statement-expression
  -ffp-contract=off -fsanitize=${instrument} -fno-sanitize-recover=all -fno-omit-frame-pointer
  -O1 -gline-tables-only)
target_precompile_headers(nibble_fuzzed PRIVATE <algorithm> <functional> <map> <memory> <string>
  <unordered_map> <vector> <expected> <fmt/format.h> <nlohmann/json.hpp>)
target_link_libraries(nibble_fuzzed PUBLIC fmt::fmt nlohmann_json::nlohmann_json PkgConfig::PCRE2
  PkgConfig::UTF8PROC PkgConfig::XXHASH Threads::Threads)

file(GLOB targets CONFIGURE_DEPENDS fuzz/*.cc)
list(FILTER targets EXCLUDE REGEX "/replay\\.cc$")
foreach(target ${targets})
  get_filename_component(name ${target} NAME_WE)
  add_executable(nibble_fuzz_${name} ${target})
  target_link_libraries(nibble_fuzz_${name} PRIVATE nibble_fuzzed)
  if(NIBBLE_HAS_LIBFUZZER)
    target_link_options(nibble_fuzz_${name} PRIVATE -fsanitize=fuzzer,address,undefined)
  else()
    target_sources(nibble_fuzz_${name} PRIVATE fuzz/replay.cc)
    target_link_options(nibble_fuzz_${name} PRIVATE -fsanitize=${instrument})
  endif()
endforeach()
