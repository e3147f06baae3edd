#include "base/file.h"

#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>

#include "base/test_util.h"

namespace nibble {
namespace {
namespace fs = std::filesystem;

size_t entries(const std::string& folder) {
  return static_cast<size_t>(
      std::distance(fs::directory_iterator(folder), fs::directory_iterator()));
}

// Runs `body` in a child process that dies without destructors, as if killed there.
template <class F>
void in_killed_process(F body) {
  pid_t child = fork();
  if (child == 0) {
    body();
    raise(SIGKILL);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  ASSERT_TRUE(WIFSIGNALED(status));
}

TEST(ReadFile, ReadsAndBounds) {
  TempFolder dir;
  ASSERT_TRUE(succeeds(write_file(dir / "a", std::string("x\0y", 3))));
  EXPECT_EQ(read_file(dir / "a").value(), std::string("x\0y", 3));
  EXPECT_TRUE(fails_with(read_file(dir / "a", 2), "larger than 2 bytes"));
  EXPECT_TRUE(fails_with(read_file(dir / "b"), "cannot open: No such file"));
  EXPECT_TRUE(fails_with(read_file(dir.path()), "not a regular file"));
}

TEST(MappedFile, MapsRegularFilesOnly) {
  TempFolder dir;
  ASSERT_TRUE(succeeds(write_file(dir / "a", std::string(100'000, 'q'))));
  auto file = MappedFile::open(dir / "a");
  ASSERT_TRUE(succeeds(file));
  EXPECT_EQ((*file)->bytes().size(), 100'000u);
  (*file)->release((*file)->bytes());
  (*file)->release((*file)->bytes().subspan(1, 3));
  for (std::byte b : (*file)->bytes()) ASSERT_EQ(b, std::byte{'q'});

  ASSERT_TRUE(succeeds(write_file(dir / "empty", "")));
  EXPECT_TRUE(MappedFile::open(dir / "empty").value()->bytes().empty());
  ASSERT_EQ(mkfifo((dir / "fifo").c_str(), 0600), 0);
  EXPECT_TRUE(fails_with(MappedFile::open(dir / "fifo"), "not a regular file"));
  EXPECT_TRUE(fails_with(MappedFile::open(dir.path()), "not a regular file"));
  EXPECT_TRUE(fails_with(MappedFile::open("/dev/zero"), "not a regular file"));
}

TEST(AtomicFile, AppearsOnlyWhenCommitted) {
  TempFolder dir;
  {
    auto file = AtomicFile::create(dir / "a");
    ASSERT_TRUE(succeeds(file));
    ASSERT_TRUE(succeeds(file->write(std::string(3 << 20, 'x'))));
    EXPECT_FALSE(path_exists(dir / "a"));
  }
  EXPECT_EQ(entries(dir.path()), 0u) << "dropped without commit, it leaves nothing";

  ASSERT_TRUE(succeeds(write_file(dir / "a", "old")));
  {
    auto file = AtomicFile::create(dir / "a");
    ASSERT_TRUE(succeeds(file->write("new")));
    EXPECT_EQ(read_file(dir / "a").value(), "old");
    AtomicFile moved = std::move(*file);
    ASSERT_TRUE(succeeds(moved.commit()));
  }
  EXPECT_EQ(read_file(dir / "a").value(), "new");
  EXPECT_EQ(entries(dir.path()), 1u);
}

TEST(AtomicFile, KeepsTheOrderOfWhatIsCopiedAndLent) {
  TempFolder dir;
  auto file = AtomicFile::create(dir / "a");
  ASSERT_TRUE(succeeds(file));
  std::string expected;
  char letter = 'a';
  for (size_t size : {3, 5 << 20, 1, 4 << 20, 9 << 20, 70'000}) {
    auto text = std::make_shared<std::string>(size, letter++);
    expected += *text + *text;
    ASSERT_TRUE(succeeds(file->write(*text)));
    std::span<const std::byte> lent = std::as_bytes(std::span(*text));
    ASSERT_TRUE(succeeds(file->write(lent, std::move(text))));
    EXPECT_EQ(file->size(), std::ssize(expected));
  }
  ASSERT_TRUE(succeeds(file->commit()));
  EXPECT_TRUE(read_file(dir / "a").value() == expected);
}

TEST(AtomicFile, NamesPathAndCauseOfFailure) {
  TempFolder dir;
  EXPECT_TRUE(fails_with(write_file(dir / "none/a", "x"), "none/a: cannot create: No such file"));
  ASSERT_TRUE(fs::create_directory(dir / "folder"));
  ASSERT_TRUE(succeeds(write_file(dir / "folder/x", "")));
  EXPECT_TRUE(fails_with(write_file(dir / "folder", "x"), "folder: cannot finish"));
  EXPECT_EQ(entries(dir.path()), 1u) << "a failed commit removes its temporary file";
}

TEST(AtomicFile, FullDiskLeavesTheOldFile) {
  TempFolder dir;
  if (mount("none", dir.path().c_str(), "tmpfs", 0, "size=64k") != 0)
    GTEST_SKIP() << "mounting a small file system needs root";
  ASSERT_TRUE(succeeds(write_file(dir / "a", "old")));
  EXPECT_TRUE(fails_with(write_file(dir / "a", std::string(1 << 20, 'x')), "a: disk full while"));
  EXPECT_EQ(read_file(dir / "a").value(), "old");
  EXPECT_EQ(entries(dir.path()), 1u);
  EXPECT_TRUE(fails_with(check_free_space(dir / "b", 1 << 20), "b: disk full: this needs 1.0 MB"));
  EXPECT_TRUE(succeeds(check_free_space(dir / "b", 1 << 10)));
  umount(dir.path().c_str());
}

TEST(OutputFolder, AppearsOnlyWhenPublished) {
  TempFolder dir;
  std::string path = dir / "out";
  ASSERT_TRUE(succeeds(write_file(dir / "source", "hello")));
  {
    auto out = OutputFolder::create(path + "/", false, false);
    ASSERT_TRUE(succeeds(out));
    ASSERT_TRUE(succeeds(out->copy_in(dir / "source", "copy")));
    EXPECT_FALSE(path_exists(path));
    ASSERT_TRUE(succeeds(out->publish()));
  }
  EXPECT_EQ(read_file(path + "/copy").value(), "hello");
  EXPECT_EQ(entries(dir.path()), 2u);
  {
    ASSERT_TRUE(succeeds(OutputFolder::create(dir / "dropped", false, false)));
  }
  EXPECT_EQ(entries(dir.path()), 2u) << "dropped without publish, it leaves nothing";
}

TEST(OutputFolder, RefusesAnExistingFolderUnlessForced) {
  TempFolder dir;
  std::string path = dir / "out";
  ASSERT_TRUE(fs::create_directory(path));
  ASSERT_TRUE(succeeds(write_file(path + "/old", "")));
  EXPECT_TRUE(fails_with(OutputFolder::create(path, false, false), "already exists"));
  {
    auto out = OutputFolder::create(path, true, false);
    ASSERT_TRUE(succeeds(out));
    ASSERT_TRUE(succeeds(write_file(out->staging() + "/new", "")));
  }
  EXPECT_TRUE(path_exists(path + "/old")) << "not published, nothing replaced";
  auto out = OutputFolder::create(path, true, false);
  ASSERT_TRUE(succeeds(out));
  ASSERT_TRUE(succeeds(write_file(out->staging() + "/new", "")));
  ASSERT_TRUE(succeeds(out->publish()));
  EXPECT_TRUE(path_exists(path + "/new"));
  EXPECT_FALSE(path_exists(path + "/old"));
  EXPECT_EQ(entries(dir.path()), 1u);
}

TEST(CheckOutput, NeverRemovesWhatIsRead) {
  TempFolder dir;
  std::string box = dir / "box", model = dir / "box/art/model", text = dir / "box/text";
  ASSERT_TRUE(fs::create_directories(model));
  ASSERT_TRUE(succeeds(write_file(text, "")));
  fs::create_directory_symlink(model, dir / "link");
  fs::create_directory_symlink(box, dir / "other");
  for (const std::string& output : {box, box + "/", dir / "box/art/..", dir / "other"})
    for (const std::string& input : {model, text, box, dir / "link", dir / "other/art"})
      for (bool force : {false, true})
        EXPECT_TRUE(fails_with(check_output(output, force, {"", dir / "absent", input}), "holds"))
            << output << " " << input;
  EXPECT_TRUE(fails_with(check_output(text, false, {model}), "already exists"));
  EXPECT_TRUE(succeeds(check_output(text, true, {model, box})));
  EXPECT_TRUE(succeeds(check_output(dir / "new", false, {model, text})));
  EXPECT_TRUE(succeeds(check_output(dir / "box/art/model2", false, {model})));
}

TEST(OutputFolder, NeedsAParentFolder) {
  TempFolder dir;
  EXPECT_TRUE(fails_with(OutputFolder::create(dir / "a/b", false, false), "there is no folder"));
  EXPECT_TRUE(fails_with(OutputFolder::create("", false, false), "empty"));
}

TEST(OutputFolder, TwoWritersCannotMeet) {
  TempFolder dir;
  auto first = OutputFolder::create(dir / "out", false, false);
  ASSERT_TRUE(succeeds(first));
  ASSERT_TRUE(succeeds(write_file(first->staging() + "/a", "")));
  EXPECT_TRUE(fails_with(OutputFolder::create(dir / "out", false, false), "another nibble"));
  EXPECT_TRUE(path_exists(first->staging() + "/a")) << "the loser must not clear the winner's work";
}

TEST(OutputFolder, KilledJobResumesInItsPartialFolder) {
  TempFolder dir;
  std::string path = dir / "out";
  in_killed_process([&] {
    auto out = OutputFolder::create(path, false, false);
    if (!out || !write_file(out->staging() + "/done", "1")) _exit(1);
    auto half = AtomicFile::create(out->staging() + "/half");
    if (!half || !half->write(std::string(2 << 20, 'x'))) _exit(1);
    kill(getpid(), SIGKILL);
  });
  EXPECT_FALSE(path_exists(path));
  EXPECT_EQ(entries(path + ".partial"), 2u);
  {
    auto out = OutputFolder::create(path, false, /*keep=*/true);
    ASSERT_TRUE(succeeds(out));
    EXPECT_EQ(read_file(out->staging() + "/done").value(), "1");
    EXPECT_EQ(entries(out->staging()), 1u) << "the half-written file is of no use";
  }
  EXPECT_TRUE(path_exists(path + ".partial/done")) << "kept for the next try";
  {
    auto out = OutputFolder::create(path, false, false);
    ASSERT_TRUE(succeeds(out));
    EXPECT_EQ(entries(out->staging()), 0u) << "a new start clears it";
    out->keep_partial();
  }
  EXPECT_TRUE(is_folder(path + ".partial"));
}

TEST(ListFiles, NamesRegularFilesSorted) {
  TempFolder dir;
  for (const char* name : {"b", "a", "c"}) ASSERT_TRUE(succeeds(write_file(dir / name, "")));
  fs::create_directory(dir / "folder");
  EXPECT_EQ(list_files(dir.path()).value(), (std::vector<std::string>{"a", "b", "c"}));
  EXPECT_TRUE(fails_with(list_files(dir / "none"), "cannot list"));
}

}  // namespace
}  // namespace nibble
