// SPDX-License-Identifier: Apache-2.0
//
// The journal's files under one writer: batches in, checkpoints out. One thread at a
// time; blocks on the disk.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "audit/checkpoint.h"
#include "audit/files.h"
#include "audit/layout.h"
#include "audit/tree.h"
#include "base/result.h"

namespace kubiya::audit {

class LogWriter {
 public:
  struct Place {
    TreeState state;                // the tree as it is on disk, its note the last one signed
    std::uint64_t signed_size = 0;  // records that note covers
  };
  LogWriter(Files& files, std::string directory, std::uint64_t segment_bytes, NoteSigner signer,
            Place place);

  // Writes the bodies as consecutive records with one write and one sync, and returns
  // the sequence of the first. On an error nothing of the batch remains: it was cut off
  // again (Code::unavailable, may be tried later), or the writer is dead (Code::corrupt)
  // and the batch may or may not survive the next start.
  Result<std::uint64_t> append(const std::vector<std::string_view>& bodies);

  // Signs the tree as it is on disk. The same two kinds of errors. No-op when signed.
  Result<> sign();

  std::uint64_t size() const { return state_.frontier.size(); }
  bool is_signed() const { return signed_size_ == size() && !state_.note.empty(); }
  std::uint64_t unsigned_records() const { return size() - signed_size_; }
  // No sync is ever retried: after a failed one the page cache may claim what the disk
  // does not have.
  bool dead() const { return dead_; }

 private:
  Result<> open_segment();
  Result<> write_and_sync(AppendFile& file, std::string_view bytes);
  Result<> append_note();
  Error noted(Error error);

  Files& files_;
  std::string directory_;
  std::uint64_t segment_bytes_;
  NoteSigner signer_;
  TreeState state_;
  std::uint64_t signed_size_;
  std::unique_ptr<AppendFile> segment_;
  std::unique_ptr<AppendFile> history_;
  std::string noted_;             // the note in the history that `checkpoint` does not hold yet
  std::uint64_t noted_size_ = 0;  // records it covers
  bool dead_ = false;
};

}  // namespace kubiya::audit
