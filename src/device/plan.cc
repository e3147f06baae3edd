#include "device/plan.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "model/roles.h"

namespace nibble {
namespace {

constexpr const char* kSchemes[] = {"w8",          "w6g64-asym",  "w4g32",
                                    "w4g128-asym", "w3g128-asym", "w2g64-asym"};
constexpr std::pair<const char*, PlanGoal> kGoals[] = {{"latency", PlanGoal::kLatency},
                                                       {"size", PlanGoal::kSize},
                                                       {"quality", PlanGoal::kQuality},
                                                       {"energy", PlanGoal::kEnergy}};

// Worse quality, in an order: loss where both have one, else fewer bytes read.
bool is_worse(const PlanRow& a, const PlanRow& b) {
  if (a.loss && b.loss) return a.loss->kl > b.loss->kl;
  return a.cost.read < b.cost.read;
}

double memory_of(const DeviceProfile& device, const PlanBudget& budget) {
  return budget.memory.value_or(device.usable);
}

std::string gigabytes(double bytes) { return fmt::format("{:.3g} GB", bytes / 1e9); }

// What of the budget the row breaks; empty: nothing.
std::string breach(const PlanRow& r, const DeviceProfile& device, const PlanBudget& budget) {
  bool must_fit = device.kind != "tpu" || budget.memory;
  if (must_fit && r.cost.held() > memory_of(device, budget))
    return fmt::format("takes {}, there are {}", gigabytes(r.cost.held()),
                       gigabytes(memory_of(device, budget)));
  if (budget.latency && r.time.decode > *budget.latency) {
    double needed = r.cost.step_read() / *budget.latency;
    if (needed > device.bandwidth)
      return fmt::format("{:.3g} ms need {:.3g} GB/s, the bus gives {:.3g}", 1e3 * *budget.latency,
                         needed / 1e9, device.bandwidth / 1e9);
    return fmt::format("{:.3g} ms a token are expected, {:.3g} at best; {:.3g} are allowed",
                       1e3 * r.time.decode, 1e3 * r.time.decode_floor, 1e3 * *budget.latency);
  }
  if (budget.increase && !r.loss) return "its loss is unknown";
  if (budget.increase && r.loss->increase > *budget.increase)
    return fmt::format("perplexity rises by {}{:.2f} %, {:.3g} % are allowed",
                       r.loss->estimated ? "about " : "", 100 * r.loss->increase,
                       100 * *budget.increase);
  return "";
}

// A CPU or a GPU does, whatever peaks its profile knows.
bool runs_floats(const DeviceProfile& device) {
  return device.kind == "cpu" || device.kind == "gpu" || device.peaks.contains("fp16") ||
         device.peaks.contains("fp32");
}

}  // namespace

Result<PlanGoal> parse_goal(const std::string& name) {
  for (const auto& [known, goal] : kGoals)
    if (name == known) return goal;
  return usage("\"{}\" is not a goal; known: latency, size, quality, energy", name);
}

std::vector<PlanRow> plan_rows(const DecoderConfig& config, const DeviceProfile& device,
                               int64_t context, int64_t prompt) {
  std::vector<PlanRow> out;
  auto add = [&](PlanRow row) {
    row.cost = cost_of(config, row.form, context);
    row.time = predict(config, row.form, row.cost, device, prompt);
    out.push_back(std::move(row));
  };
  if (runs_floats(device)) {
    PlanRow whole;
    whole.name = "as it is";
    whole.loss = PlanLoss{.increase = 0, .kl = 0, .top1 = 1};
    add(std::move(whole));
  }
  Scheme head = Scheme::parse("w8").value();
  for (const char* name : kSchemes) {
    Scheme scheme = Scheme::parse(name).value();
    std::string width = fmt::format("w{}", scheme.bits);
    if (std::find(device.schemes.begin(), device.schemes.end(), width) == device.schemes.end())
      continue;
    PlanRow row;
    row.name = name;
    row.form = {scheme, head};
    row.arguments = {"--scheme", name, config.tied_head ? "--embedding" : "--head", "w8"};
    add(std::move(row));
  }
  return out;
}

void time_rows(std::vector<PlanRow>& rows, const DecoderConfig& config, const DeviceProfile& device,
               int64_t prompt) {
  for (PlanRow& r : rows) r.time = predict(config, r.form, r.cost, device, prompt);
}

void judge_rows(std::vector<PlanRow>& rows, const DeviceProfile& device, const PlanBudget& budget) {
  for (PlanRow& r : rows) {
    r.refused = breach(r, device, budget);
    r.best_of_its_pace = std::none_of(rows.begin(), rows.end(), [&](const PlanRow& other) {
      return other.time.decode < r.time.decode && !is_worse(other, r);
    });
  }
}

const PlanRow* choose_row(const std::vector<PlanRow>& rows, PlanGoal goal) {
  auto serves_better = [&](const PlanRow& a, const PlanRow& b) {
    if (goal == PlanGoal::kQuality) return is_worse(b, a);
    if (goal == PlanGoal::kSize) return a.cost.weights < b.cost.weights;
    // Where watts are unknown energy goes by time.
    if (goal == PlanGoal::kEnergy && a.time.joules > 0) return a.time.joules < b.time.joules;
    return a.time.decode < b.time.decode;
  };
  const PlanRow* best = nullptr;
  for (const PlanRow& r : rows)
    if (r.refused.empty() && (!best || serves_better(r, *best))) best = &r;
  return best;
}

const PowerMode* thriftiest_mode(std::vector<PlanRow> rows, const DecoderConfig& config,
                                 const DeviceProfile& device, const PlanBudget& budget,
                                 int64_t prompt) {
  // Joules of what is chosen there; none where nothing is.
  auto joules = [&](const DeviceProfile& there) {
    time_rows(rows, config, there, prompt);
    judge_rows(rows, there, budget);
    const PlanRow* row = choose_row(rows, PlanGoal::kEnergy);
    return row ? row->time.joules : std::numeric_limits<double>::infinity();
  };
  const PowerMode* best = nullptr;
  double least = joules(device);
  for (const PowerMode& mode : device.modes)
    if (double here = joules(device.in(mode)); here < least) least = here, best = &mode;
  return best;
}

std::string refusal(const std::vector<PlanRow>& rows, const DeviceProfile& device,
                    const PlanBudget& budget) {
  if (rows.empty()) return fmt::format("{} runs none of our schemes", device.slug);
  auto least = std::min_element(rows.begin(), rows.end(), [](const PlanRow& a, const PlanRow& b) {
    return a.cost.held() < b.cost.held();
  });
  PlanBudget without_loss = budget;
  without_loss.increase.reset();
  std::string why = breach(*least, device, without_loss);
  if (!why.empty())
    return fmt::format("{}: even {} {}{}", device.slug, least->name,
                       why.starts_with("takes") ? "" : "cannot: ", why);
  // Size and time can be met; the loss of what does meet them is too high.
  const PlanRow* best = nullptr;
  for (const PlanRow& r : rows)
    if (breach(r, device, without_loss).empty() && (!best || is_worse(*best, r))) best = &r;
  return fmt::format("{}: the best that meets the other bounds is {}: {}", device.slug, best->name,
                     breach(*best, device, budget));
}

}  // namespace nibble
