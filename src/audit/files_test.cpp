// SPDX-License-Identifier: Apache-2.0
#include "audit/files.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>

#include "audit/test_support.h"

namespace kubiya::audit {
namespace {

// Leaves this process room for so many more descriptors.
class DescriptorLimit {
 public:
  explicit DescriptorLimit(rlim_t more) {
    getrlimit(RLIMIT_NOFILE, &before_);
    const int next = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
    ::close(next);
    const rlimit limit{static_cast<rlim_t>(next) + more, before_.rlim_max};
    setrlimit(RLIMIT_NOFILE, &limit);
  }
  ~DescriptorLimit() { setrlimit(RLIMIT_NOFILE, &before_); }

 private:
  rlimit before_{};
};

TEST(AuditFiles, TakesNoFileForDurableWhoseDirectoryWasNotSynced) {
  TemporaryDirectory directory;
  ASSERT_TRUE(real_files().make_directory(directory.path()));
  const std::string path = directory.file("audit-00000001.jsonl");
  // Room for the file, none for its directory. The file outlives the limit, as sanitizers need
  // descriptors of their own when it ends; for the same reason this is called once before.
  (void)std::generic_category().message(EMFILE);
  const auto open_without_directory = [&] {
    const DescriptorLimit limit(1);
    return real_files().open_append(path);
  };
  EXPECT_FALSE(open_without_directory());
  ASSERT_TRUE(real_files().size(path)) << "it was made all the same";
  EXPECT_FALSE(open_without_directory()) << "and is not durable yet";
  auto file = real_files().open_append(path);
  ASSERT_TRUE(file);
  ASSERT_TRUE((*file)->append("x"));
  EXPECT_TRUE(open_without_directory()) << "a file with content was synced before";
}

TEST(AuditFiles, TellsAbsenceFromOtherTrouble) {
  TemporaryDirectory directory;
  ASSERT_TRUE(real_files().make_directory(directory.path()));
  EXPECT_EQ(real_files().size(directory.file("none")).error().code, Code::not_found);
  EXPECT_EQ(real_files().read(directory.file("none")).error().code, Code::not_found);
  write_all(directory.file("three"), "abc");
  EXPECT_EQ(*real_files().size(directory.file("three")), 3u);
  EXPECT_EQ(real_files().size(directory.file("three/none")).error().code, Code::unavailable);
}

}  // namespace
}  // namespace kubiya::audit
