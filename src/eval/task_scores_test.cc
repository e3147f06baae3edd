#include "eval/task_scores.h"

#include <cmath>

#include "base/file.h"
#include "base/test_util.h"

namespace nibble {
namespace {

Answer choice(std::vector<double> logs) {
  Answer out;
  out.greedy.assign(logs.size(), 0);
  out.log_likelihoods = std::move(logs);
  return out;
}

Result<Task> task_of(const TempFolder& dir, const std::string& text) {
  EXPECT_TRUE(succeeds(write_file(dir / "t.jsonl", text)));
  return read_task({.file = dir / "t.jsonl", .labels = "", .kind = "", .limit = 0});
}

constexpr const char* kChoices =
    "{\"context\": \"a\", \"options\": [\"x\", \"yyyy\"], \"label\": 1}\n\n"
    "{\"context\": \"b\", \"options\": [\"x\", \"y\", \"z\"], \"label\": 2}\n";

TEST(Task, TheLikeliestAndTheLikeliestByByte) {
  TempFolder dir;
  auto task = task_of(dir, kChoices);
  ASSERT_TRUE(succeeds(task));
  EXPECT_STREQ(task->kind->name, "choice");
  // The first of two equal ones is chosen, as numpy's argmax does.
  std::vector<Answer> answers = {choice({-1, -3}), choice({-2, -1, -1})};
  TaskScores scores = score_task(*task, answers, {});
  ASSERT_EQ(scores.metrics.size(), 2u);
  EXPECT_EQ(scores.metrics[0].own.value, 0);
  EXPECT_EQ(scores.metrics[1].own.value, .5);  // -1 a byte against -.75
  EXPECT_FALSE(scores.flips);
}

TEST(Task, FlipsBothWays) {
  TempFolder dir;
  Task task = task_of(dir, kChoices).value();
  std::vector<Answer> now = {choice({-1, 0}), choice({0, -1, -1})},
                      before = {choice({0, -1}), choice({-1, -1, 0})};
  TaskScores scores = score_task(task, now, before);
  EXPECT_EQ(scores.flips->changed, 2);
  EXPECT_EQ(scores.flips->lost, 1);
  EXPECT_EQ(scores.flips->gained, 1);
  EXPECT_EQ(scores.metrics[0].difference->value, 0);
  EXPECT_EQ(scores.metrics[0].difference->low, -1);
  EXPECT_EQ(scores.metrics[0].difference->high, 1);
}

// 95 % of the means of n fair coins lie within 1.96 standard errors.
TEST(Task, BootstrapIsAsWideAsTheStandardError) {
  constexpr int kCount = 400;
  std::string text;
  for (int i = 0; i < kCount; ++i)
    text +=
        fmt::format("{{\"context\": \"\", \"options\": [\"x\", \"y\"], \"label\": {}}}\n", i % 2);
  TempFolder dir;
  Task task = task_of(dir, text).value();
  std::vector<Answer> answers(kCount, choice({0, -1}));
  Estimate e = score_task(task, answers, {}).metrics[0].own;
  EXPECT_EQ(e.value, .5);
  double half = 1.96 * std::sqrt(.25 / kCount);
  EXPECT_NEAR(e.high - .5, half, .1 * half);
  EXPECT_NEAR(.5 - e.low, half, .1 * half);
}

TEST(Task, PerplexityOfLastWords) {
  TempFolder dir;
  Task task = task_of(dir, "{\"text\": \"one two\"}\n{\"text\": \"three\"}\n").value();
  EXPECT_EQ(task.items[0].context, "one");
  EXPECT_EQ(task.items[1].context, "");
  EXPECT_EQ(task.items[1].options[0], "three");
  std::vector<Answer> answers = {choice({-1}), choice({-3})};
  answers[0].greedy[0] = 1;
  TaskScores scores = score_task(task, answers, {});
  EXPECT_NEAR(scores.metrics[0].own.value, std::exp(2.), 1e-12);
  EXPECT_EQ(scores.metrics[1].own.value, .5);
}

}  // namespace
}  // namespace nibble
