// SPDX-License-Identifier: Apache-2.0
//
// Opening a journal's directory: keys, last checkpoint, the tail behind it.
#pragma once

#include <memory>
#include <string>

#include "audit/files.h"
#include "audit/log_writer.h"
#include "base/result.h"
#include "base/secret.h"

namespace kubiya::audit {

// What a crash left behind the last complete record, now cut off.
struct TornTail {
  std::uint64_t bytes = 0;
  std::string sha256;  // of those bytes, hex
  unsigned segment = 0;
  std::uint64_t offset = 0;  // where they began
};

struct Opened {
  std::unique_ptr<DirectoryLock> lock;
  std::unique_ptr<LogWriter> writer;
  Secret digest_key;
  TornTail torn;
  std::uint64_t reread = 0;  // records read behind the stored state
  bool created = false;
};

// Creates what is missing in an empty directory. Records behind the last checkpoint are adopted;
// the writer counts them as unsigned. Code::corrupt names the record, segment or file that does
// not fit; Code::conflict when the journal is open elsewhere.
Result<Opened> open_log(Files& files, const std::string& directory, const std::string& origin,
                        std::uint64_t segment_bytes);

}  // namespace kubiya::audit
