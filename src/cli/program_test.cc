#include <gtest/gtest.h>

#include <filesystem>
#include <set>

#include "base/file.h"
#include "base/json.h"
#include "cli/commands.h"
#include "formats/safetensors.h"

namespace nibble {
namespace {

struct Outcome {
  int code;
  std::string out, err;
};

// The whole program on these arguments.
Outcome nibble_with(std::vector<const char*> arguments) {
  arguments.insert(arguments.begin(), "nibble");
  testing::internal::CaptureStdout();
  testing::internal::CaptureStderr();
  int code = run_program(arguments);
  return {code, testing::internal::GetCapturedStdout(), testing::internal::GetCapturedStderr()};
}

bool is_one_line(const std::string& text) {
  return !text.empty() && text.find('\n') == text.size() - 1;
}

TEST(Program, AloneTeachesItsMainJob) {
  Outcome o = nibble_with({});
  EXPECT_EQ(o.code, 0);
  EXPECT_EQ(o.err, "");
  for (const Command& c : commands()) EXPECT_NE(o.out.find(c.name), std::string::npos) << c.name;
  for (const char* step : {"nibble quantize", "nibble eval", "nibble run"})
    EXPECT_NE(o.out.find(step), std::string::npos) << step;
  EXPECT_EQ(nibble_with({"help"}).out, o.out);
  EXPECT_EQ(nibble_with({"--help"}).out, o.out);
}

TEST(Program, TellsItsVersion) {
  Outcome o = nibble_with({"--version"});
  EXPECT_EQ(o.code, 0);
  EXPECT_EQ(o.out, "nibble " NIBBLE_VERSION "\n");
}

TEST(Program, EveryCommandHasItsHelp) {
  std::set<std::string> names;
  for (const Command& c : commands()) {
    EXPECT_TRUE(names.insert(c.name).second) << c.name;
    Outcome help = nibble_with({"help", c.name});
    EXPECT_EQ(help.code, 0) << c.name;
    EXPECT_EQ(help.err, "") << c.name;
    EXPECT_NE(help.out.find(std::string("nibble ") + c.name), std::string::npos) << help.out;
    // Where a number is printed; these print none.
    if (c.name != std::string("completion") && c.name != std::string("man"))
      EXPECT_NE(help.out.find("--json"), std::string::npos) << c.name;
    EXPECT_EQ(nibble_with({c.name, "--help"}).out, help.out) << c.name;
  }
}

TEST(Program, EveryCommandRefusesAnUnknownOptionInOneLine) {
  for (const Command& c : commands()) {
    Outcome o = nibble_with({c.name, "--no-such-option"});
    EXPECT_EQ(o.code, 2) << c.name;
    EXPECT_EQ(o.out, "") << c.name;
    EXPECT_TRUE(is_one_line(o.err)) << o.err;
    EXPECT_TRUE(o.err.starts_with("nibble: ")) << o.err;
    EXPECT_NE(o.err.find(std::string("nibble help ") + c.name), std::string::npos) << o.err;
  }
}

TEST(Program, CallsThatAreWrongEndWithTwo) {
  for (std::vector<const char*> call :
       std::vector<std::vector<const char*>>{{"frobnicate"},
                                             {"help", "frobnicate"},
                                             {"--frobnicate"},
                                             {"a\nb\x1b[31m"},
                                             {"run", "--ids", "1,x"},
                                             {"run", "--ids", ""},
                                             {"run", "-p", "a", "--ids", "1"},
                                             {"run", "-p", "a", "--temperature", "-1"},
                                             {"run", "-p", "a", "--temperature", "nan"},
                                             {"run", "-p", "a", "-n", "-5"},
                                             {"run", "-p", "a", "--top-p", "2"},
                                             {"run", "-p", "a", "--stop", ""},
                                             {"run", "-p", "a", "-t", "0"},
                                             {"run", "-p", "a", "--activations", "int3"},
                                             {"run", "-p", "a", "-c", "0"},
                                             {"tokenize"},
                                             {"tokenize", "-p", "a", "-f", "b"},
                                             {"tokenize", "--decode"},
                                             {"logits", "--ids", "1"},
                                             {"logits", "-o", "x"},
                                             {"bench", "--runs", "0"}}) {
    Outcome o = nibble_with(call);
    EXPECT_EQ(o.code, 2) << call[0] << ' ' << (call.size() > 1 ? call[1] : "") << o.err;
    EXPECT_EQ(o.out, "");
    size_t last = o.err.rfind("nibble: ");  // a note on the model may stand before it
    ASSERT_NE(last, std::string::npos) << o.err;
    EXPECT_TRUE(is_one_line(o.err.substr(last))) << o.err;
  }
}

TEST(Program, FailuresEndWithOne) {
  for (std::vector<const char*> call : std::vector<std::vector<const char*>>{
           {"run", "/no/such/folder", "-p", "a"},
           {"inspect", "/no/such/folder"},
           {"inspect", "/dev/null"},
           {"tokenize", "-f", "/no/such/file"},
           {"tokenize", "--decode", "--ids", "99999999"},
           {"run", "--ids", "99999999"},
           {"run", "--ids", "1,2,3", "-c", "3"},
           {"logits", "--ids", "2048", "-o", "/tmp/nibble_test_l.safetensors"},
           {"logits", "--ids", "1", "-o", "/no/such/folder/l.safetensors"}}) {
    Outcome o = nibble_with(call);
    EXPECT_EQ(o.code, 1) << call[0] << ' ' << call[1] << ": " << o.err;
    EXPECT_EQ(o.out, "");
    size_t last = o.err.rfind("nibble: ");
    ASSERT_NE(last, std::string::npos) << o.err;
    EXPECT_TRUE(is_one_line(o.err.substr(last))) << o.err;
  }
}

Json json_of(std::vector<const char*> call) {
  Outcome o = nibble_with(std::move(call));
  EXPECT_EQ(o.code, 0) << o.err;
  auto json = parse_json(o.out, "output");
  EXPECT_TRUE(json) << o.out;
  return json ? *json : Json();
}

TEST(Program, RunsTheEmbeddedModelGreedily) {
  Json j = json_of({"run", "-p", "Once upon a time", "--temperature", "0", "-n", "8", "--json"});
  EXPECT_EQ(j["prompt_ids"], Json({0, 427, 437, 259, 395}));
  EXPECT_EQ(j["finish"], "length");
  EXPECT_EQ(j["activations"], "float");
  EXPECT_EQ(j["ids"].size(), 8u);
  Json same =
      json_of({"run", "--ids", "0,427,437,259,395", "--temperature", "0", "-n", "8", "--json"});
  EXPECT_EQ(j["ids"], same["ids"]);
  EXPECT_EQ(j["text"], same["text"]);
  Outcome o = nibble_with({"run", "-p", "Once upon a time", "--temperature", "0", "-n", "8"});
  EXPECT_EQ(o.out, "Once upon a time" + j["text"].get<std::string>() + "\n");
}

TEST(Program, StopStringsAreTakenAsTheyStand) {
  std::vector<const char*> call = {"run", "-p", "Once upon a time", "--temperature", "0",
                                   "-n",  "20", "--json",           "--stop",        "{}"};
  EXPECT_EQ(json_of(call)["finish"], "length");
  for (const char* more : {"--stop", "[a,b]", "--stop", "little girl"}) call.push_back(more);
  Json j = json_of(call);
  EXPECT_EQ(j["finish"], "stop");
  EXPECT_EQ(j["text"], ", there was a ");
}

TEST(Program, TokenizesAndBack) {
  Json j = json_of({"tokenize", "-p", "Once upon a time", "--json"});
  EXPECT_EQ(j["ids"].size(), j["pieces"].size());
  Json bare = json_of({"tokenize", "-p", "Once upon a time", "--no-special", "--json"});
  EXPECT_EQ(bare["ids"], Json({427, 437, 259, 395}));
  EXPECT_EQ(nibble_with({"tokenize", "--decode", "--ids", "427,437,259,395"}).out,
            "Once upon a time");
}

class ProgramFiles : public testing::Test {
 protected:
  void SetUp() override { std::filesystem::create_directories(folder_); }
  void TearDown() override { std::filesystem::remove_all(folder_); }
  std::string folder_ = testing::TempDir() + "nibble_program_test";
};

TEST_F(ProgramFiles, WritesLogits) {
  std::string file = folder_ + "/l.safetensors";
  std::vector<const char*> call = {"logits", "--ids", "0,427,437", "--hidden",
                                   "--json", "-o",    file.c_str()};
  std::vector<const char*> dry = call;
  dry.push_back("--dry-run");
  EXPECT_EQ(json_of(dry)["written"], false);
  EXPECT_FALSE(path_exists(file));
  EXPECT_EQ(json_of(call)["written"], true);
  auto written = open_safetensors(file);
  ASSERT_TRUE(written) << written.error().message;
  ASSERT_EQ(written->tensors.size(), 2u);
  for (const NamedTensor& t : written->tensors)
    EXPECT_EQ(t.view.shape, t.name == "logits" ? (std::vector<int64_t>{3, 2048})
                                               : (std::vector<int64_t>{5, 3, 256}));
}

TEST_F(ProgramFiles, LogitsNeverReplaceTheModel) {
  std::filesystem::copy(NIBBLE_SOURCE_DIR "/models/tales-3.7m", folder_ + "/model");
  std::string model = folder_ + "/model", file = model + "/model.safetensors";
  auto size = std::filesystem::file_size(file);
  Outcome o = nibble_with({"logits", model.c_str(), "--ids", "1", "-o", file.c_str()});
  EXPECT_EQ(o.code, 1);
  EXPECT_EQ(std::filesystem::file_size(file), size);
}

TEST_F(ProgramFiles, InspectsAConfigAlone) {
  std::filesystem::copy(NIBBLE_SOURCE_DIR "/models/tales-3.7m/config.json", folder_);
  Json alone = json_of({"inspect", folder_.c_str(), "--json"});
  Json whole = json_of({"inspect", "--json"});
  EXPECT_EQ(alone["parameters"], whole["parameters"]);
  EXPECT_EQ(alone["memory"], whole["memory"]);
  EXPECT_FALSE(alone.contains("stored"));
}

TEST(Program, InspectsTheEmbeddedModel) {
  Json j = json_of({"inspect", "--json", "--tensors"});
  EXPECT_EQ(j["parameters"]["total"], 3672320);
  EXPECT_EQ(j["architecture"], "llama");
  EXPECT_EQ(j["stored"]["bpw"], 16);
  EXPECT_EQ(j["stored"]["tensors"], j["tensors"].size());
  EXPECT_NE(nibble_with({"inspect"}).out.find("3.67 M"), std::string::npos);
  EXPECT_FALSE(json_of({"inspect", "--cpu", "--json"})["tables"].empty());
}

}  // namespace
}  // namespace nibble
