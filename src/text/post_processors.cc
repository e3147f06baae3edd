// Reference: huggingface/tokenizers, tokenizers/src/processors.
#include "text/post_processors.h"

namespace nibble {
namespace {

// A processor puts its own tokens around what those before it have made.
class PostProcessor {
 public:
  virtual ~PostProcessor() = default;
  std::vector<int64_t> before, after;
};

using Made = Result<std::unique_ptr<PostProcessor>>;

Made make_byte_level(const Json&, const std::string&) {
  return std::make_unique<PostProcessor>();  // only trims offsets, which we do not keep
}

// The ids of a {"SpecialToken": {"id": name}} piece.
Result<std::vector<int64_t>> special_ids(const Json& j, const Json& piece,
                                         const std::string& what) {
  std::string name = NB_TRY(get_string(piece, "id", std::nullopt, what));
  auto table = j.find("special_tokens");
  if (table == j.end() || !table->is_object() || !table->contains(name))
    return fail("{}: special token \"{}\" is not defined", what, name);
  const Json& entry = *table->find(name);
  auto ids = entry.is_object() ? entry.find("ids") : entry.end();
  if (!entry.is_object() || ids == entry.end() || !ids->is_array())
    return fail("{}: special token \"{}\" has no ids", what, name);
  std::vector<int64_t> out;
  for (const Json& id : *ids) {
    if (!id.is_number_integer()) return fail("{}: id of \"{}\" is no number", what, name);
    out.push_back(id.get<int64_t>());
  }
  return out;
}

Made make_template(const Json& j, const std::string& what) {
  auto processor = std::make_unique<PostProcessor>();
  auto single = j.find("single");
  if (single == j.end() || !single->is_array()) return fail("{}: \"single\" is missing", what);
  int sequences = 0;
  for (const Json& piece : *single) {
    if (!piece.is_object()) return fail("{}: \"single\" should hold objects", what);
    if (piece.contains("Sequence")) {
      ++sequences;
    } else if (piece.contains("SpecialToken")) {
      auto ids = NB_TRY(special_ids(j, *piece.find("SpecialToken"), what));
      auto& side = sequences == 0 ? processor->before : processor->after;
      side.insert(side.end(), ids.begin(), ids.end());
    } else {
      return fail("{}: a piece of \"single\" is neither Sequence nor SpecialToken", what);
    }
  }
  if (sequences != 1) return fail("{}: \"single\" holds {} sequences, not 1", what, sequences);
  return processor;
}

// "cls" before the text and "sep" behind it, each [spelling, id].
Made make_bert(const Json& j, const std::string& what) {
  auto processor = std::make_unique<PostProcessor>();
  for (auto [key, side] : {std::pair("cls", &processor->before), {"sep", &processor->after}}) {
    auto token = j.find(key);
    if (token == j.end() || !token->is_array() || token->size() != 2 ||
        !(*token)[1].is_number_integer())
      return fail("{}: \"{}\" should be [text, id]", what, key);
    side->push_back((*token)[1].get<int64_t>());
  }
  return processor;
}

constexpr Kind<PostProcessor> kKinds[] = {
    {"ByteLevel", make_byte_level},
    {"TemplateProcessing", make_template},
    {"BertProcessing", make_bert},
    {"RobertaProcessing", make_bert},
};

}  // namespace

Result<Surround> make_post_processor(const Json& j, int64_t vocab_size, const std::string& what) {
  Surround all;
  auto check = [&](const std::vector<int64_t>& ids) -> Status {
    for (int64_t id : ids)
      if (id < 0 || id >= vocab_size)
        return fail("{}: post-processor: token id {} is not in the vocabulary of {}", what, id,
                    vocab_size);
    return {};
  };
  auto processors =
      NB_TRY(make_parts<PostProcessor>(j, "processors", "post-processor", kKinds, what));
  for (const auto& p : processors) {
    NB_OK(check(p->before));
    NB_OK(check(p->after));
    all.before.insert(all.before.begin(), p->before.begin(), p->before.end());
    all.after.insert(all.after.end(), p->after.begin(), p->after.end());
  }
  return all;
}

}  // namespace nibble
