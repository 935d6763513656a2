// SPDX-License-Identifier: Apache-2.0
#include "audit/files.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <unistd.h>

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
  {
    const DescriptorLimit room_for_the_file_only(1);
    EXPECT_FALSE(real_files().open_append(path));
    ASSERT_TRUE(real_files().size(path)) << "it was made all the same";
    EXPECT_FALSE(real_files().open_append(path)) << "and is not yet durable";
  }
  auto file = real_files().open_append(path);
  ASSERT_TRUE(file);
  ASSERT_TRUE((*file)->append("x"));
  const DescriptorLimit room_for_the_file_only(1);
  EXPECT_TRUE(real_files().open_append(path)) << "a file with content was synced before";
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
