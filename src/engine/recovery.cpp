// SPDX-License-Identifier: Apache-2.0
#include "engine/recovery.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>

#include <cerrno>
#include <cstring>
#include <filesystem>

#include "base/log.h"
#include "engine/server_mark.h"
#include "engine/worker.h"
#include "workflow/plan.h"

namespace kubiya::engine {
namespace {

namespace fs = std::filesystem;

constexpr const char* kActive = "The server stopped while the run was active.";
constexpr const char* kQueued = "The server stopped before the run began; nothing of it ran.";

// Ours, and closed to others: what steps write there may be secret.
Result<> make_private_directory(const std::string& path) {
  std::error_code error;
  fs::create_directories(fs::path(path).parent_path(), error);
  if (::mkdir(path.c_str(), 0700) != 0 && errno != EEXIST) {
    return fail(Code::unavailable, "The work directory cannot be made.", std::strerror(errno));
  }
  struct stat info{};
  if (::lstat(path.c_str(), &info) != 0 || !S_ISDIR(info.st_mode)) {
    return fail(Code::unavailable, "The work directory is not a directory.", path);
  }
  if (info.st_uid != ::geteuid()) {
    return fail(Code::unavailable, "The work directory belongs to another user.", path);
  }
  if ((info.st_mode & 077) != 0 && ::chmod(path.c_str(), 0700) != 0) {
    return fail(Code::unavailable, "The work directory cannot be made private.", path);
  }
  return {};
}

Result<Descriptor> lock_directory(const std::string& path) {
  Descriptor lock(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!lock) {
    return fail(Code::unavailable, "The work directory cannot be opened.", std::strerror(errno));
  }
  if (::flock(lock.get(), LOCK_EX | LOCK_NB) != 0) {
    return fail(Code::conflict, "Another server uses this work directory.", path);
  }
  return lock;
}

bool is_run_id(const std::string& name) {
  return name.size() == 36 && name.find_first_not_of("0123456789abcdef-") == name.npos;
}

void remove_run_directories(const std::string& path) {
  std::error_code error;
  for (fs::directory_iterator entry(path, error), end; !error && entry != end;
       entry.increment(error)) {
    if (is_run_id(entry->path().filename().string())) remove_directory(entry->path().string());
  }
}

audit::Journal::RunEnd end_of(const store::RunRow& run) {
  return {run.id,         run.workflow, run.tenant, run.issuer, run.subject, run.key_fingerprint,
          run.request_id, run.status,   run.reason, run.digest};
}

}  // namespace

Result<Descriptor> recover(const EngineOptions& options, store::Database& db,
                           audit::Journal& journal, const Clock& clock) {
  TRY_VOID(make_private_directory(options.work_directory));
  Descriptor lock = TRY(lock_directory(options.work_directory));
  const ServerIdentity now = this_server();
  const auto before = noted_server(options.work_directory);
  const std::size_t killed = before ? kill_leftovers(options.installation_id, *before, now) : 0;
  TRY_VOID(note_server(options.work_directory, now));
  store::Runs runs(db);
  const auto left = TRY(runs.unfinished());
  for (const store::RunRow& run : left) {
    const bool queued = run.status == to_string(workflow::RunStatus::queued);
    TRY_VOID(runs.interrupt(run.id, unix_ms(clock.wall()), queued ? kQueued : kActive));
  }
  // Those, and runs whose end was stored but not yet recorded when the server stopped.
  for (const store::RunRow& run : TRY(runs.unaudited())) {
    journal.run_finished(end_of(run), [&db, id = run.id](const Result<>& recorded) {
      if (recorded) store::Runs(db).set_audited(id);
    });
  }
  remove_run_directories(options.work_directory);
  if (killed != 0 || !left.empty()) {
    log::warn("runs were interrupted by the last stop",
              {{"runs", left.size()}, {"processes_killed", killed}});
  }
  return lock;
}

}  // namespace kubiya::engine
