#include <unordered_map>

#include "base/file.h"
#include "cli/common.h"
#include "text/tokenizer.h"

namespace nibble {
namespace {

struct TokenizeOptions {
  std::string model, file, text, ids;
  bool has_text = false, has_ids = false, decode = false, no_special = false, json = false;
};

// A text of many megabytes has millions of tokens: the document is written piece by piece, and each
// token's spelling is escaped once.
void put_tokens_json(const Tokenizer& tokenizer, std::span<const int32_t> ids) {
  std::string out = "{\"ids\": [";
  auto flush = [&](size_t at_least) {
    if (out.size() < at_least) return;
    put(out);
    out.clear();
  };
  constexpr size_t kBuffer = 1 << 16;
  const char* comma = "";
  for (int32_t id : ids) {
    fmt::format_to(std::back_inserter(out), "{}{}", std::exchange(comma, ", "), id);
    flush(kBuffer);
  }
  out += "], \"pieces\": [";
  comma = "";
  std::unordered_map<int32_t, std::string> quoted;
  for (int32_t id : ids) {
    auto [it, fresh] = quoted.try_emplace(id);
    if (fresh)
      it->second = Json(tokenizer.piece(id)).dump(-1, ' ', false, Json::error_handler_t::replace);
    out += std::exchange(comma, ", ");
    out += it->second;
    flush(kBuffer);
  }
  out += "]}\n";
  flush(0);
}

Result<int> decode(const TokenizeOptions& o, const Tokenizer& tokenizer) {
  std::vector<int32_t> ids = NB_TRY(parse_ids(o.has_ids ? o.ids : NB_TRY(read_file(o.file))));
  std::string text = NB_TRY(tokenizer.decode(ids, /*skip_special=*/o.no_special));
  if (o.json)
    put_json({{"ids", ids}, {"text", text}});
  else
    put(text);
  return 0;
}

Status check_call(const TokenizeOptions& o) {
  bool has_file = !o.file.empty();
  if (o.decode && (o.has_text || o.has_ids == has_file))
    return usage("--decode wants the ids, either with --ids LIST or with -f FILE");
  if (!o.decode && o.has_ids) return usage("--ids is for --decode");
  if (!o.decode && o.has_text == has_file)
    return usage("give the text, either with -f FILE or with -p TEXT");
  return {};
}

Result<int> tokenize(const TokenizeOptions& o) {
  NB_OK(check_call(o));
  auto tokenizer = NB_TRY(load_tokenizer(NB_TRY(model_folder(o.model))));
  if (o.decode) return decode(o, *tokenizer);
  std::string text = o.has_text ? o.text : NB_TRY(read_file(o.file));
  auto encoded = tokenizer->encode(text, !o.no_special);
  if (!encoded) return fail("{}: {}", o.has_text ? "-p" : o.file, encoded.error().message);
  const std::vector<int32_t>& ids = *encoded;
  if (o.json)
    put_tokens_json(*tokenizer, ids);
  else
    put_line("{}", ids_text(ids));
  return 0;
}

CommandBody setup(CLI::App& app) {
  auto o = std::make_shared<TokenizeOptions>();
  app.add_option(
         "MODEL", o->model,
         "Model folder, or a tokenizer.json or tokenizer.model alone (default: the embedded "
         "tales-3.7m)")
      ->type_name("");
  app.add_option("-f,--file", o->file, "Text to tokenize, every byte of it; - is standard input")
      ->type_name("FILE");
  auto* text = app.add_option("-p,--prompt", o->text, "Text to tokenize")->type_name("TEXT");
  app.add_flag("--no-special", o->no_special,
               "Add no begin and end tokens; with --decode, leave special tokens out");
  app.add_flag("--decode", o->decode, "From ids to text, printed exactly");
  auto* ids = app.add_option("--ids", o->ids, "Token ids to decode, as 1,5,9")->type_name("LIST");
  add_json_option(app, o->json);
  app.footer(
      "Examples: nibble tokenize -p \"Once upon a time\" --json\n"
      "          nibble tokenize --decode --ids 427,437,259,395");
  return [o, text, ids] {
    o->has_text = text->count() > 0;
    o->has_ids = ids->count() > 0;
    return tokenize(*o);
  };
}

}  // namespace

const Command kCommand_tokenize = {"tokenize", "text to token ids and back", setup};

}  // namespace nibble
