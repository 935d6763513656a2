// SPDX-License-Identifier: Apache-2.0
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <thread>

#include <fmt/format.h>

#include "app/application.h"
#include "app/config_files.h"
#include "audit/layout.h"
#include "base/encoding.h"
#include "base/ids.h"
#include "base/log.h"
#include "crypto/digest.h"
#include "tools/workflow_text.h"

namespace kubiya::app {
namespace {

// A child of a server that was just killed holds its lock until it starts its own program, which
// is a matter of milliseconds; whoever restarts the server at once must not be turned away.
bool lock_patiently(int descriptor) {
  constexpr int kTries = 30;
  for (int i = 0; i < kTries; ++i) {
    if (::flock(descriptor, LOCK_EX | LOCK_NB) == 0) return true;
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  return false;
}

// A directory that is ours, or nobody's yet, is closed; somebody's home or /tmp is not.
Result<> close_to_others(const std::string& data_dir) {
  if (!TRY(open_to_others(data_dir))) return {};
  std::error_code ec;
  bool ours = std::filesystem::is_empty(data_dir, ec);
  for (const char* name : {"/lock", "/kubiya.db", "/pepper"}) {
    ours = ours || std::filesystem::exists(data_dir + name, ec);
  }
  if (!ours) {
    return fail(Code::unavailable,
                fmt::format("{} is open to other users and holds files that are not ours: give "
                            "--data-dir a directory of its own, or run: chmod 700 {}",
                            data_dir, data_dir));
  }
  if (::chmod(data_dir.c_str(), 0700) == 0) return {};
  return fail(Code::unavailable,
              fmt::format("cannot make {} private: {}", data_dir, std::strerror(errno)));
}

}  // namespace

Result<std::string> installation_id(store::Meta& meta, const std::string& data_dir,
                                    const std::string& journal_directory) {
  if (const auto known = TRY(meta.get("installation_id"))) return *known;
  std::error_code ec;
  if (std::filesystem::exists(audit::segment_path(journal_directory, 1), ec)) {
    return fail(Code::corrupt,
                fmt::format("The database in {} is new, but the audit journal in {} is not: keys, "
                            "cut-offs and runs would be forgotten. Restore kubiya.db, or move the "
                            "journal away to begin anew.",
                            data_dir, journal_directory));
  }
  std::string made = random_id();
  TRY_VOID(meta.set("installation_id", made));
  return made;
}

Result<DataLock> DataLock::take(const std::string& data_dir) {
  if (const Result<> made = make_private_directory(data_dir); !made) {
    return fail(Code::unavailable,
                fmt::format("cannot create the data directory {}", made.error().message));
  }
  TRY_VOID(close_to_others(data_dir));
  const std::string path = data_dir + "/lock";
  const int descriptor = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (descriptor < 0) {
    return fail(Code::unavailable, fmt::format("cannot open {}: {}", path, std::strerror(errno)));
  }
  if (!lock_patiently(descriptor)) {
    ::close(descriptor);
    return fail(
        Code::conflict,
        fmt::format("another kubiya-mcp server uses {}: stop it or give --data-dir", data_dir));
  }
  return DataLock(descriptor);
}

DataLock::DataLock(DataLock&& other) noexcept : descriptor_(std::exchange(other.descriptor_, -1)) {}

DataLock& DataLock::operator=(DataLock&& other) noexcept {
  std::swap(descriptor_, other.descriptor_);
  return *this;
}

DataLock::~DataLock() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

Result<Secret> open_key_pepper(const std::string& data_dir, store::Meta& meta) {
  const auto check = TRY(meta.get("pepper_check"));
  Secret pepper = TRY(identity::open_pepper(data_dir + "/pepper", !check.has_value()));
  const std::string now = hex(crypto::view(crypto::hmac_sha256(pepper.reveal(), "pepper check")));
  if (check && !crypto::equal_constant_time(*check, now)) {
    return fail(
        Code::corrupt,
        fmt::format("{}/pepper is not the file the stored API keys were made with: restore it "
                    "from a backup, or revoke and create all keys anew",
                    data_dir));
  }
  if (!check) TRY_VOID(meta.set("pepper_check", now));
  return pepper;
}

Result<std::size_t> import_workflows(const std::string& directory, const std::string& tenant,
                                     store::Workflows& workflows, const workflow::Limits& limits,
                                     const Clock& clock) {
  std::error_code ec;
  std::vector<std::filesystem::path> files;
  for (const auto& entry : std::filesystem::directory_iterator(directory, ec)) {
    const auto extension = entry.path().extension();
    if (extension == ".yaml" || extension == ".yml" || extension == ".json")
      files.push_back(entry.path());
  }
  if (ec)
    return fail(Code::invalid,
                fmt::format("cannot read the workflows directory {}: {}", directory, ec.message()));
  std::sort(files.begin(), files.end());
  std::size_t imported = 0;
  for (const auto& file : files) {
    std::ifstream in(file, std::ios::binary);
    std::stringstream text;
    text << in.rdbuf();
    auto row = tools::checked_workflow(text.str(), std::nullopt, limits);
    if (!row)
      return fail(row.error().code, fmt::format("{}: {}", file.string(), row.error().message));
    row->tenant = tenant;
    row->created_by = "import";
    row->created_ms = row->updated_ms = unix_ms(clock.wall());
    const auto created = workflows.create(*row);
    if (created) ++imported;
    if (!created && created.error().code != Code::conflict) return fail(created.error());
  }
  return imported;
}

}  // namespace kubiya::app
