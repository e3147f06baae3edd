#include "jinja/chat_template.h"

#include <gtest/gtest.h>

#include <filesystem>

#include "base/file.h"
#include "base/test_util.h"

namespace nibble {
namespace {

constexpr int64_t kDay = 1721980800;  // 2024-07-26, 08:00 UTC

class ChatTemplateTest : public testing::Test {
 protected:
  void put(const std::string& name, const std::string& text) {
    ASSERT_TRUE(succeeds(write_file(dir_ / name, text)));
  }
  Result<std::string> rendered(const std::string& name = "") {
    Conversation one;
    one.messages = Json::parse(R"([{"role": "user", "content": "Hi"}])");
    one.variables = variables_;
    return NB_TRY(ChatTemplate::load(dir_.path(), name)).render(one, kDay);
  }
  TempFolder dir_;
  Json variables_ = Json::object();
};

TEST_F(ChatTemplateTest, FindsTheFoldersTemplate) {
  EXPECT_TRUE(fails_with(rendered(), "has no chat template"));
  put("tokenizer_config.json", R"({"chat_template": "config {{ messages[0].content }}"})");
  EXPECT_EQ(rendered().value_or(""), "config Hi");
  EXPECT_TRUE(
      fails_with(rendered("tool_use"), "has no chat template \"tool_use\"; it has \"default\""));
  put("chat_template.jinja", "file");
  EXPECT_EQ(rendered().value_or(""), "file");
}

TEST_F(ChatTemplateTest, NamedTemplates) {
  put("tokenizer_config.json",
      R"({"chat_template": [{"name": "rag", "template": "r"}, {"name": "default", "template": "d"}]})");
  EXPECT_EQ(rendered().value_or(""), "d");
  EXPECT_EQ(rendered("rag").value_or(""), "r");
  ASSERT_TRUE(std::filesystem::create_directory(dir_ / "additional_chat_templates"));
  put("additional_chat_templates/more.jinja", "m");
  EXPECT_EQ(rendered("more").value_or(""), "m");
  put("tokenizer_config.json", R"({"chat_template": [{"name": "rag"}]})");
  EXPECT_TRUE(fails_with(rendered(), "\"template\" is missing"));
}

TEST_F(ChatTemplateTest, GivesTokensAndVariables) {
  put("tokenizer_config.json",
      R"({"bos_token": {"content": "<b>"}, "eos_token": "<e>", "unk_token": null})");
  put("special_tokens_map.json", R"({"eos_token": "<other>", "pad_token": "<p>"})");
  put("chat_template.jinja",
      "{{ bos_token }}{{ eos_token }}{{ pad_token }}{{ unk_token is defined }}{{ tools is none }}"
      "{{ add_generation_prompt }}{{ x }}");
  EXPECT_EQ(rendered().value_or(""), "<b><e><p>FalseTrueFalse");
  variables_ = Json::parse(R"({"bos_token": "B", "x": 1})");
  EXPECT_EQ(rendered().value_or(""), "B<e><p>FalseTrueFalse1");
}

TEST_F(ChatTemplateTest, ReasoningHasAllItsNames) {
  put("chat_template.jinja", "{{ messages[0].reasoning_content }}{{ messages[0].thinking }}");
  Conversation one;
  one.messages = Json::parse(R"([{"role": "assistant", "content": "", "reasoning": "hm"}])");
  auto form = ChatTemplate::load(dir_.path());
  ASSERT_TRUE(succeeds(form));
  EXPECT_EQ(form->render(one, kDay).value_or(""), "hmhm");
}

TEST_F(ChatTemplateTest, ReadsConversations) {
  put("a.json", R"([{"role": "user", "content": "x"}])");
  put("b.json", R"({"messages": [{"role": "user"}], "tools": [1]})");
  put("c.json", R"([1])");
  put("d.json", R"({"x": 1})");
  EXPECT_EQ(read_conversation(dir_ / "a.json")->messages.size(), 1u);
  EXPECT_EQ(read_conversation(dir_ / "b.json")->tools.size(), 1u);
  EXPECT_TRUE(fails_with(read_conversation(dir_ / "c.json"), "JSON object"));
  EXPECT_TRUE(fails_with(read_conversation(dir_ / "d.json"), "JSON list"));
}

// What transformers makes of published templates, where they are at hand.
TEST(PublishedTemplates, RenderAsTransformersDoes) {
  std::string folder = NIBBLE_SOURCE_DIR "/../shared/data/chat-templates";
  if (!is_folder(folder)) GTEST_SKIP() << "needs ../shared";
  int cases = 0;
  auto files = list_files(folder);
  ASSERT_TRUE(succeeds(files));
  for (const std::string& file : *files) {
    if (!file.ends_with(".jinja")) continue;
    auto form = ChatTemplate::load(folder + "/" + file);
    auto golden = read_json(folder + "/" + file.substr(0, file.size() - 6) + ".golden.json");
    ASSERT_TRUE(succeeds(golden));
    EXPECT_TRUE(succeeds(form)) << file;
    if (!form) continue;
    for (const auto& [name, one] : golden->items()) {
      Conversation conversation;
      conversation.messages = one["messages"];
      conversation.add_generation_prompt = one["add_generation_prompt"].get<bool>();
      conversation.variables = {
          {"bos_token", "<s>"}, {"eos_token", "</s>"}, {"strftime_now", "26 Jul 2024"}};
      auto text = form->render(conversation, kDay);
      ++cases;
      if (one.contains("rendered"))
        EXPECT_EQ(text ? *text : text.error().message, one["rendered"].get<std::string>())
            << file << " " << name;
      else
        EXPECT_FALSE(text) << file << " " << name;
    }
  }
  EXPECT_GT(cases, 100);
}

}  // namespace
}  // namespace nibble
