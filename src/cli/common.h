// What several commands share: their common options, and printing results.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "cli/commands.h"
#include "kernels/kernels.h"
#include "model/linear.h"

namespace nibble {

// The positional MODEL; left empty by the user, `model` stays empty and model_folder() finds the
// embedded one.
void add_model_option(CLI::App& app, std::string& model);
// `model`, or the folder of the embedded model where it is empty (said on standard error).
Result<std::string> model_folder(const std::string& model);

// A folder of the project's own data ("devices"), wherever the program runs from.
std::optional<std::string> find_data(const std::string& name);

// -t, --threads and --pin: take effect while the arguments are parsed.
void add_threads_option(CLI::App& app);
void add_json_option(CLI::App& app, bool& json);
// --lora FOLDER, as Weights::open; `lora` stays empty where it is not given.
void add_lora_option(CLI::App& app, std::string& lora);
void add_dry_run_option(CLI::App& app, bool& dry_run);
// --split-size SIZE of GGUF; 0 where it is not given.
void add_split_option(CLI::App& app, int64_t& bytes);

// --activations float|int8|int8-token|int8-static; `value` holds the default.
void add_activations_option(CLI::App& app, Activations& value);
// --cache f32|f16|int8; `value` holds the default.
void add_cache_option(CLI::App& app, KvType& value);
const char* cache_name(KvType type);
// --packed FOLDER, as Decoder::load.
void add_packed_option(CLI::App& app, std::string& folder);
// "float", "int8" (a scale for each 32 columns), "int8-token" (one for each row) or "int8-static"
// (one for each linear, stored with it).
const char* activations_name(Activations mode);
// Which arithmetic runs, in words: "int8 activations per 32 on avx2: 28 of 28 linears", "int8
// activations, decoded weights: 28 of 28 linears", both, or "float".
Result<std::string> describe_arithmetic(Activations mode, const ArithmeticCounts& linears);

// A list as "1,5,9": commas or white space between, brackets around allowed, each id in 0..2^31-1.
Result<std::vector<int32_t>> parse_ids(std::string_view text);
// Every id lies below `vocab`.
Status check_ids(std::span<const int32_t> ids, int64_t vocab);
// "1,5,9"
std::string ids_text(std::span<const int32_t> ids);

// Standard output. A failed write shows when the program ends (run_program).
void put(std::string_view text);
template <class... A>
void put_line(fmt::format_string<A...> form, A&&... args) {
  put(fmt::format(form, std::forward<A>(args)...) + "\n");
}
void put_json(const Json& value);
// The same on one line, for a stream of documents.
void put_json_line(const Json& value);
// "12.3 MB", decimal units.
std::string bytes_text(int64_t bytes);
// Bytes of "500MB", "1.5GB", "300000": the same units.
Result<double> parse_size(const std::string& text);
// .01 of "1%" and of "0.01"; nothing where the text is no number.
std::optional<double> parse_share(const std::string& text);
// In single quotes as shells read them; `escape` stands for one inside.
std::string shell_quoted(std::string_view text, std::string_view escape = "'\\''");

}  // namespace nibble
