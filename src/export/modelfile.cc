#include "export/modelfile.h"

#include <algorithm>
#include <ctime>

#include "base/file.h"
#include "base/json.h"
#include "jinja/chat_template.h"
#include "runtime/text_model.h"

namespace nibble {
namespace {

constexpr const char* kSystem = "NibbleSystem0";
const std::vector<std::string> kUsers = {"NibbleUser1", "NibbleUser2", "NibbleUser3"};
const std::vector<std::string> kAnswers = {"NibbleAnswer1", "NibbleAnswer2"};

using Render = std::function<Result<std::string>(const std::vector<Turn>&)>;

// What stands around the contents of each role.
struct TurnPieces {
  std::string before_system, behind_system, before_user, behind_user, before_answer, behind_answer;
  std::string beginning;  // of the answer that is asked for
  std::string system;     // where a conversation has none of its own

  std::string prompt(const std::vector<Turn>& turns) const {
    std::string out;
    bool own = !turns.empty() && std::string_view(turns[0].role) == "system";
    if (!own && !system.empty()) out = before_system + system + behind_system;
    for (const Turn& t : turns) {
      std::string_view role = t.role;
      if (role == "system") out += before_system + t.content + behind_system;
      if (role == "user") out += before_user + t.content + behind_user;
      if (role == "assistant") out += before_answer + t.content + behind_answer;
    }
    return out + beginning;
  }
};

// The text between two marks; nothing where they are not there in this order.
std::optional<std::string> between(const std::string& text, const std::string& from,
                                   const std::string& to) {
  size_t begin = from.empty() ? 0 : text.find(from);
  if (begin == text.npos) return std::nullopt;
  begin += from.size();
  size_t end = to.empty() ? text.size() : text.find(to, begin);
  if (end == text.npos) return std::nullopt;
  return text.substr(begin, end - begin);
}

bool take_front(std::string& text, const std::string& part) {
  if (!text.starts_with(part)) return false;
  text.erase(0, part.size());
  return true;
}
bool take_back(std::string& text, const std::string& part) {
  if (!text.ends_with(part)) return false;
  text.erase(text.size() - part.size());
  return true;
}

std::string common_front(const std::string& a, const std::string& b) {
  return {a.begin(), std::ranges::mismatch(a, b).in1};
}
std::string common_back(const std::string& a, const std::string& b) {
  auto length = std::mismatch(a.rbegin(), a.rend(), b.rbegin(), b.rend()).first - a.rbegin();
  return a.substr(a.size() - static_cast<size_t>(length));
}

std::optional<TurnPieces> find_pieces(const Render& render, const std::string& bos) {
  auto talk = render({{"user", kUsers[0]}, {"assistant", kAnswers[0]}, {"user", kUsers[1]}});
  if (!talk) return std::nullopt;
  auto first = between(*talk, "", kUsers[0]), turn = between(*talk, kUsers[0], kAnswers[0]),
       back = between(*talk, kAnswers[0], kUsers[1]), last = between(*talk, kUsers[1], "");
  if (!first || !turn || !back || !last) return std::nullopt;
  take_front(*first, bos);
  TurnPieces p;
  p.before_user = common_back(*first, *back);
  p.behind_answer = back->substr(0, back->size() - p.before_user.size());
  p.behind_user = common_front(*turn, *last);
  p.before_answer = turn->substr(p.behind_user.size());
  p.beginning = last->substr(p.behind_user.size());
  take_back(*first, p.before_user);
  auto led = render({{"system", kSystem}, {"user", kUsers[0]}});
  if (!led) return first->empty() ? std::optional(p) : std::nullopt;  // knows no system
  auto before = between(*led, "", kSystem), behind = between(*led, kSystem, kUsers[0]);
  if (!before || !behind || !take_back(*behind, p.before_user)) return std::nullopt;
  take_front(*before, bos);
  p.before_system = *before;
  p.behind_system = *behind;
  // What is left in front of a conversation without a system prompt is a default one.
  p.system = *first;
  bool whole = p.system.empty() || (take_front(p.system, *before) && take_back(p.system, *behind));
  return whole ? std::optional(p) : std::nullopt;
}

bool holds(const TurnPieces& p, const Render& render, const std::string& bos) {
  std::vector<std::vector<Turn>> trials = {
      {{"user", kUsers[0]}},
      {{"user", kUsers[0]}, {"assistant", kAnswers[0]}, {"user", kUsers[1]}},
      {{"user", kUsers[0]},
       {"assistant", kAnswers[0]},
       {"user", kUsers[1]},
       {"assistant", kAnswers[1]},
       {"user", kUsers[2]}}};
  for (size_t i = 0, plain = trials.size(); i < plain && !p.before_system.empty(); ++i) {
    trials.push_back(trials[i]);
    trials.back().insert(trials.back().begin(), {"system", kSystem});
  }
  return std::ranges::all_of(trials, [&](const std::vector<Turn>& turns) {
    auto prompt = render(turns);
    if (!prompt) return false;
    take_front(*prompt, bos);
    return *prompt == p.prompt(turns);
  });
}

std::string go_template(const TurnPieces& p) {
  auto turn = [](const std::string& before, const std::string& behind) {
    return before + "{{ .Content }}" + behind;
  };
  return R"({{- range .Messages }}{{ if eq .Role "system" }})" +
         turn(p.before_system, p.behind_system) + R"({{ else if eq .Role "user" }})" +
         turn(p.before_user, p.behind_user) + R"({{ else if eq .Role "assistant" }})" +
         turn(p.before_answer, p.behind_answer) + "{{ end }}{{ end }}" + p.beginning;
}

// The chat template of a folder, which may have none.
Result<std::string> template_part(const std::string& folder, const std::string& bos) {
  auto chat = ChatTemplate::load(folder);
  if (!chat) return std::string("TEMPLATE {{ .Prompt }}\n");
  auto render = [&](const std::vector<Turn>& turns) {
    Conversation c;
    c.add_generation_prompt = true;
    for (const Turn& t : turns) c.messages.push_back({{"role", t.role}, {"content", t.content}});
    return chat->render(c, std::time(nullptr));
  };
  OllamaTemplate t = ollama_template(render, bos);
  if (t.text.empty())
    return std::string(
        "# The chat template is none that Ollama's own can say; it looks into the GGUF file for "
        "it.\n");
  std::string out = "TEMPLATE \"\"\"" + t.text + "\"\"\"\n";
  if (!t.system.empty()) out += "SYSTEM \"\"\"" + t.system + "\"\"\"\n";
  return out;
}

// What generation_config.json asks of sampling.
Result<std::string> sampling_part(const std::string& folder) {
  constexpr std::pair<const char*, const char*> kNames[] = {
      {"temperature", "temperature"},
      {"top_p", "top_p"},
      {"top_k", "top_k"},
      {"min_p", "min_p"},
      {"repetition_penalty", "repeat_penalty"}};
  std::string out, path = folder + "/generation_config.json";
  if (!path_exists(path)) return out;
  Json config = NB_TRY(read_json(path));
  for (auto [theirs, ollamas] : kNames)
    if (auto v = config.find(theirs); v != config.end() && v->is_number())
      out += fmt::format("PARAMETER {} {}\n", ollamas, v->dump());
  return out;
}

}  // namespace

OllamaTemplate ollama_template(const Render& render, const std::string& bos) {
  auto pieces = find_pieces(render, bos);
  if (!pieces || !holds(*pieces, render, bos)) return {};
  OllamaTemplate out{go_template(*pieces), pieces->system};
  TurnPieces bare = *pieces;
  for (const std::string* s :
       {&bare.before_system, &bare.behind_system, &bare.before_user, &bare.behind_user,
        &bare.before_answer, &bare.behind_answer, &bare.beginning, &bare.system})
    if (s->contains("{{") || s->contains("\"\"\"")) return {};
  return out;
}

Result<std::string> modelfile(const std::string& folder, const std::string& gguf,
                              const DecoderConfig& config) {
  std::string out = "FROM ./" + gguf + "\n", bos;
  std::unique_ptr<Tokenizer> tokenizer;
  if (has_tokenizer(folder)) tokenizer = NB_TRY(load_tokenizer(folder));
  if (tokenizer && tokenizer->bos) bos = tokenizer->piece(*tokenizer->bos);
  out += NB_TRY(template_part(folder, bos));
  if (tokenizer)
    for (int32_t id : NB_TRY(end_of_text_ids(folder, config, tokenizer.get())))
      if (std::string text = NB_TRY(tokenizer->decode(std::span(&id, 1), false)); !text.empty())
        out += fmt::format("PARAMETER stop {}\n", Json(text).dump());
  return out + NB_TRY(sampling_part(folder));
}

}  // namespace nibble
