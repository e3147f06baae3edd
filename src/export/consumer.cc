#include "export/consumer.h"

#include <cmath>

#include "base/json.h"
#include "base/process.h"

namespace nibble {
namespace {

constexpr size_t kLongestLine = 1 << 16;

// The consumer once it has begun to answer, and what it says of itself.
class Consumer {
 public:
  Consumer(const ConsumerOptions& options, const ConsumerRequest& request)
      : options_(options), request_(request) {}

  // What goes wrong from here on is the consumer's, and is told apart by `unknown`.
  Status start(const std::vector<Window>& windows) {
    Json ids = Json::array();
    for (const Window& w : windows) ids.push_back(w.ids);
    const DecoderConfig& c = request_.config;
    Json question = {{"folder", request_.folder},
                     {"format", request_.format},
                     {"windows", std::move(ids)},
                     {"cache", {c.layers, c.kv_heads, c.head_dim}}};
    auto process = Process::start(options_.python, {options_.python, options_.script},
                                  std::string_view(question.dump()));
    if (!process) return give_up(process.error().message);
    process_.emplace(std::move(*process));
    auto line = process_->read_line(kLongestLine);
    if (!line) return give_up("consumer.py gave no answer");
    auto answer = parse_json(*line, options_.script);
    if (!answer || !answer->is_object()) return give_up("consumer.py gave no answer");
    return read_answer(*answer);
  }

  Status logits(std::span<const Window> windows, std::vector<float>& out) {
    size_t tokens = 0;
    for (const Window& w : windows) tokens += w.ids.size();
    out.resize(tokens * static_cast<size_t>(request_.config.vocab));
    if (auto read = process_->read(std::as_writable_bytes(std::span(out))); !read)
      return give_up(name_ + " ended before its last logits");
    if (!std::ranges::all_of(out, [](float v) { return std::isfinite(v); }))
      return give_up(name_ + " gave logits that are no finite numbers");
    return {};
  }

  const std::string& name() const { return name_; }
  const std::string& unknown() const { return unknown_; }

 private:
  Status read_answer(const Json& answer) {
    auto text = [&](const char* key) {
      auto it = answer.find(key);
      return it != answer.end() && it->is_string() ? it->get<std::string>() : std::string();
    };
    if (std::string missing = text("missing"); !missing.empty())
      return give_up(
          fmt::format("{} has no {}; --python names one that has", options_.python, missing));
    if (std::string failed = text("failed"); !failed.empty()) return give_up(failed);
    name_ = text("name");
    auto vocab = answer.find("vocab");
    if (name_.empty() || vocab == answer.end() || *vocab != request_.config.vocab)
      return give_up(fmt::format("{} gave another number of logits than the vocabulary's {}", name_,
                                 request_.config.vocab));
    return {};
  }

  Status give_up(std::string why) {
    unknown_ = std::move(why);
    return fail("{}", unknown_);
  }

  const ConsumerOptions& options_;
  const ConsumerRequest& request_;
  std::optional<Process> process_;
  std::string name_, unknown_;
};

}  // namespace

Result<ConsumerLoss> measure_in_consumer(const ConsumerOptions& options, ConsumerRequest request,
                                         const EvaluationOptions& evaluation) {
  Consumer consumer(options, request);
  ForeignLogits source{[&](const std::vector<Window>& windows) { return consumer.start(windows); },
                       [&](std::span<const Window> windows, std::vector<float>& logits) {
                         return consumer.logits(windows, logits);
                       }};
  auto loss = evaluate_foreign(source, request.config, std::move(request.reference),
                               request.tokenizer, evaluation);
  if (!loss && consumer.unknown().empty()) return std::unexpected(loss.error());
  if (!loss) return ConsumerLoss{"", consumer.unknown(), {}};
  return ConsumerLoss{consumer.name(), "", *loss};
}

}  // namespace nibble
