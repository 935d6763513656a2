// SPDX-License-Identifier: Apache-2.0
//
// The disk as the journal sees it: a seam, so that tests can tear writes, fill the
// disk and fail a sync. Errors: Code::unavailable when the state of the disk is known
// (nothing or a part was written), Code::corrupt when it is not (a failed sync).
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace kubiya::audit {

class AppendFile {
 public:
  virtual ~AppendFile() = default;
  // All of `bytes` or an error; after an error a part may be in the file.
  virtual Result<> append(std::string_view bytes) = 0;
  virtual Result<> truncate(std::uint64_t size) = 0;
  virtual Result<> sync() = 0;
  virtual std::uint64_t size() const = 0;  // as of opening and our own writes
};

class DirectoryLock {
 public:
  virtual ~DirectoryLock() = default;
};

enum class Durability { synced, best_effort };
enum class Privacy { shared, owner_only };  // 0644, 0600

class Files {
 public:
  virtual ~Files() = default;
  virtual Result<> make_directory(const std::string& path) = 0;  // 0700
  // Code::conflict while another process or object holds it.
  virtual Result<std::unique_ptr<DirectoryLock>> lock(const std::string& path) = 0;
  virtual Result<std::vector<std::string>> list(const std::string& directory) = 0;  // names
  // From byte `offset` to the end. Code::not_found when there is no such file.
  virtual Result<std::string> read(const std::string& path, std::uint64_t offset = 0) = 0;
  // In bytes. Code::not_found when there is no such file.
  virtual Result<std::uint64_t> size(const std::string& path) = 0;
  // Created when absent. An empty file's directory is synced, so that what is written next cannot
  // vanish with the name.
  virtual Result<std::unique_ptr<AppendFile>> open_append(const std::string& path) = 0;
  // Through a temporary file and a rename: readers see the old content or the new.
  virtual Result<> replace(const std::string& path, std::string_view bytes, Durability durability,
                           Privacy privacy) = 0;
};

// The process's file system. Has no state.
Files& real_files();

}  // namespace kubiya::audit
