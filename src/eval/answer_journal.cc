#include "eval/answer_journal.h"

#include <cmath>

#include "base/file.h"

namespace nibble {
namespace {

constexpr std::chrono::seconds kBetweenWrites{2};

Json answer_json(const Answer& a) {
  if (a.log_likelihoods.empty()) return {{"text", a.text}};
  Json greedy = Json::array();
  for (uint8_t g : a.greedy) greedy.push_back(g != 0);
  return {{"log_likelihoods", a.log_likelihoods}, {"greedy", greedy}};
}

Result<Answer> read_answer(const Json& j, size_t options, const std::string& what) {
  auto wrong = [&] { return fail("{}: is no answer to its item; remove the file", what); };
  Answer out;
  if (!j.is_object()) return wrong();
  if (options == 0) {
    out.text = NB_TRY(get_string(j, "text", std::nullopt, what));
    return out;
  }
  auto logs = j.find("log_likelihoods"), greedy = j.find("greedy");
  if (logs == j.end() || greedy == j.end() || !logs->is_array() || !greedy->is_array() ||
      logs->size() != options || greedy->size() != options)
    return wrong();
  for (size_t i = 0; i < options; ++i) {
    if (!(*logs)[i].is_number() || !(*greedy)[i].is_boolean()) return wrong();
    out.log_likelihoods.push_back((*logs)[i].get<double>());
    out.greedy.push_back((*greedy)[i].get<bool>());
  }
  return out;
}

}  // namespace

Result<AnswerJournal> AnswerJournal::open(const std::string& path, const Json& task) {
  AnswerJournal out;
  out.path_ = path;
  out.content_ = {{"task", task}, {"answers", Json::object()}};
  if (path.empty() || !path_exists(path)) return out;
  Json found = NB_TRY(read_json(path));
  auto of = found.find("task");
  auto answers = found.find("answers");
  if (!found.is_object() || of == found.end() || answers == found.end() || !answers->is_object())
    return fail("{}: holds no answers to a task; name another file", path);
  if (*of != task)
    return fail("{}: holds answers to another task or other settings; name another file", path);
  out.content_ = std::move(found);
  return out;
}

Result<std::vector<std::optional<Answer>>> AnswerJournal::answers(const std::string& model,
                                                                  const Task& task) const {
  std::vector<std::optional<Answer>> out(task.items.size());
  const Json& all = content_["answers"];
  auto own = all.find(model);
  if (own == all.end()) return out;
  if (!own->is_array()) return fail("{}: its answers are no list; remove the file", path_);
  for (size_t i = 0; i < std::min(out.size(), own->size()); ++i)
    if (!(*own)[i].is_null())
      out[i] = NB_TRY(read_answer((*own)[i], task.items[i].options.size(),
                                  fmt::format("{}: answer {}", path_, i)));
  return out;
}

Status AnswerJournal::keep(const std::string& model, size_t item, const Answer& answer) {
  if (path_.empty()) return {};
  Json& own = content_["answers"][model];
  while (own.size() <= item) own.push_back(nullptr);
  own[item] = answer_json(answer);
  return std::chrono::steady_clock::now() - written_ < kBetweenWrites ? Status() : write();
}

Status AnswerJournal::write() {
  if (path_.empty()) return {};
  // A text may end inside a character.
  NB_OK(write_file(path_, content_.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n"));
  written_ = std::chrono::steady_clock::now();
  return {};
}

}  // namespace nibble
