// SPDX-License-Identifier: Apache-2.0
//
// For the tests of the journal: one on a disk that fails as told.
#pragma once

#include "audit/journal_impl.h"
#include "audit/layout.h"
#include "audit/reader.h"
#include "audit/test_support.h"
#include "audit/verify.h"

namespace kubiya::audit {

inline JournalOptions options(const TemporaryDirectory& directory) {
  JournalOptions o;
  o.directory = directory.path();
  o.begin_timeout = std::chrono::milliseconds(2'000);
  return o;
}

inline std::unique_ptr<Journal> open_on(const JournalOptions& o, const Clock& clock, Files& files) {
  auto journal = JournalImpl::open(o, clock, files);
  EXPECT_TRUE(journal) << journal.error().message << " " << journal.error().detail;
  return journal ? std::move(*journal) : nullptr;
}

inline std::vector<Record> records_of(const TemporaryDirectory& directory, std::string kind = {}) {
  RecordFilter filter;
  filter.limit = 1'000'000;
  auto all = list(directory.path(), filter);
  EXPECT_TRUE(all) << all.error().message;
  if (!all) return {};
  if (!kind.empty()) std::erase_if(*all, [&](const Record& r) { return r.kind != kind; });
  return std::move(*all);
}

inline VerifyReport verified(const TemporaryDirectory& directory) {
  auto report = verify_directory(directory.path(), read_all(public_key_path(directory.path())));
  EXPECT_TRUE(report) << report.error().message;
  return report ? std::move(*report) : VerifyReport{};
}

class JournalTest : public testing::Test {
 protected:
  TemporaryDirectory directory_;
  FakeClock clock_;
  FaultyFiles files_;
};

}  // namespace kubiya::audit
