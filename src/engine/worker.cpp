// SPDX-License-Identifier: Apache-2.0
#include "engine/worker.h"

#include <filesystem>
#include <system_error>

#include "base/log.h"

namespace kubiya::engine {
namespace {

namespace fs = std::filesystem;

void allow_removal(const fs::path& path) {
  std::error_code error;
  fs::permissions(path, fs::perms::owner_all, fs::perm_options::add, error);
  for (fs::directory_iterator entry(path, error), end; !error && entry != end;
       entry.increment(error)) {
    std::error_code unreadable;
    if (fs::is_directory(entry->symlink_status(unreadable))) allow_removal(entry->path());
  }
}

}  // namespace

void remove_directory(const std::string& path) {
  std::error_code error;
  fs::remove_all(path, error);
  if (!error) return;
  allow_removal(path);
  fs::remove_all(path, error);
  if (error) log::warn("a run's directory could not be removed", {{"detail", error.message()}});
}

Worker::Worker() : thread_([this] { loop(); }) {}

Worker::~Worker() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_one();
  thread_.join();
}

void Worker::add(std::function<void()> task) {
  {
    const std::lock_guard lock(mutex_);
    tasks_.push_back(std::move(task));
  }
  wake_.notify_one();
}

void Worker::loop() {
  std::unique_lock lock(mutex_);
  while (true) {
    wake_.wait(lock, [this] { return stopping_ || !tasks_.empty(); });
    if (tasks_.empty()) return;
    const auto task = std::move(tasks_.front());
    tasks_.pop_front();
    lock.unlock();
    task();
    lock.lock();
  }
}

}  // namespace kubiya::engine
