// SPDX-License-Identifier: Apache-2.0
#include "base/log.h"

#include <unistd.h>

#include <memory>
#include <thread>

#include <gtest/gtest.h>

#include "base/json.h"

namespace kubiya {
namespace {

// This process's stderr is a pipe while one exists.
class PipedStderr {
 public:
  PipedStderr() : before_(::dup(STDERR_FILENO)) {
    int ends[2] = {-1, -1};
    EXPECT_EQ(::pipe(ends), 0);
    ::dup2(ends[1], STDERR_FILENO);
    ::close(ends[1]);
    reading_ = ends[0];
  }
  ~PipedStderr() {
    restore();
    ::close(before_);
    ::close(reading_);
  }
  void restore() { ::dup2(before_, STDERR_FILENO); }
  std::string read_all() const {
    std::string all;
    char buffer[4096];
    for (ssize_t got = 0; (got = ::read(reading_, buffer, sizeof buffer)) > 0;) {
      all.append(buffer, static_cast<std::size_t>(got));
    }
    return all;
  }

 private:
  int before_;
  int reading_ = -1;
};

TEST(Log, AReaderWhoStallsStopsNobodyAndEveryLineIsWrittenOrCounted) {
  constexpr int kLines = 20'000;
  const std::string filling(200, 'x');
  PipedStderr pipe;
  auto background = std::make_unique<log::Background>();
  // Four times what buffer and pipe hold: comes back only because nobody waits for the reader.
  for (int i = 0; i < kLines; ++i) log::warn(filling);
  std::string all;
  std::thread reader([&] { all = pipe.read_all(); });
  background.reset();
  pipe.restore();
  reader.join();

  std::int64_t written = 0;
  std::int64_t lost = 0;
  while (!all.empty()) {
    const std::size_t end = all.find('\n');
    ASSERT_NE(end, all.npos);
    const auto line = parse_json(std::string_view(all).substr(0, end));
    ASSERT_TRUE(line.has_value());
    const json::object& fields = line->as_object();
    if (const json::value* count = find(fields, "lines")) {
      lost += count->as_int64();
    } else {
      ++written;
    }
    all.erase(0, end + 1);
  }
  EXPECT_GT(lost, 0);
  EXPECT_EQ(written + lost, kLines);
}

TEST(Log, TheEndDoesNotWaitForAReaderWhoStalls) {
  PipedStderr pipe;
  {
    const log::Background background;
    for (int i = 0; i < 1'000; ++i) log::warn(std::string(200, 'x'));
  }
  SUCCEED();
}

}  // namespace
}  // namespace kubiya
