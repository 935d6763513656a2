// SPDX-License-Identifier: Apache-2.0
#include "base/log.h"

#include <limits.h>
#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <condition_variable>
#include <csignal>
#include <mutex>
#include <thread>
#include <utility>

#include <fmt/format.h>

#include "base/clock.h"
#include "base/encoding.h"
#include "base/json.h"

namespace kubiya::log {
namespace {

std::atomic<Level> threshold{Level::info};

std::string_view name_of(Level level) {
  switch (level) {
    case Level::debug:
      return "debug";
    case Level::info:
      return "info";
    case Level::warn:
      return "warn";
    case Level::error:
      return "error";
    case Level::off:
      return "off";
  }
  return "off";
}

// Without a thread of its own: commands, and what is said before the server starts.
void write_all(std::string_view text) {
  while (!text.empty()) {
    const ssize_t wrote = ::write(STDERR_FILENO, text.data(), text.size());
    if (wrote < 0 && errno == EINTR) continue;
    if (wrote < 0) return;  // A log that cannot be written must not stop the service.
    text.remove_prefix(static_cast<std::size_t>(wrote));
  }
}

// What may be written at once when poll() says that there is room: a pipe takes PIPE_BUF bytes
// then. Whole lines where they fit, because others may write to the same pipe.
std::string_view next_piece(std::string_view text) {
  const std::string_view piece = text.substr(0, PIPE_BUF);
  const std::size_t line_end = piece.rfind('\n');
  return line_end == piece.npos ? piece : piece.substr(0, line_end + 1);
}

class Writer {
 public:
  void start() {
    const std::lock_guard lock(mutex_);
    if (users_++ != 0) return;
    ++generation_;
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    thread_ = std::thread([this, mine = generation_] { run(mine); });
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
  }

  void stop() {
    std::unique_lock lock(mutex_);
    if (--users_ != 0) return;
    wake_.notify_all();
    idle_.wait_for(lock, kLastWrites,
                   [this] { return pending_.empty() && lost_ == 0 && !writing_; });
    pending_.clear();
    ++generation_;
    wake_.notify_all();
    // It writes only what fits without waiting, so it is on its way out.
    std::thread ended = std::move(thread_);
    lock.unlock();
    ended.join();
  }

  // False when there is no thread to take them.
  bool take(std::string_view lines) {
    const std::lock_guard lock(mutex_);
    if (users_ == 0) return false;
    if (pending_.size() + lines.size() > kBufferBytes) {
      lost_ += std::count(lines.begin(), lines.end(), '\n');
    } else {
      pending_ += lines;
    }
    wake_.notify_one();
    return true;
  }

 private:
  static constexpr std::size_t kBufferBytes = 1024 * 1024;
  static constexpr std::chrono::milliseconds kLastWrites{1'000};
  static constexpr int kPatienceMs = 200;

  void run(std::uint64_t mine) {
    std::string batch;
    std::unique_lock lock(mutex_);
    for (;;) {
      wake_.wait(lock, [&] { return generation_ != mine || !pending_.empty() || lost_ != 0; });
      if (generation_ != mine) return;
      batch.swap(pending_);
      if (const std::int64_t lost = std::exchange(lost_, 0); lost != 0) {
        append_line(batch, Level::warn, "log lines lost: stderr was not read", {{"lines", lost}});
      }
      writing_ = true;
      lock.unlock();
      drain(batch, mine);
      batch.clear();
      lock.lock();
      writing_ = false;
      idle_.notify_all();
    }
  }

  void drain(std::string_view text, std::uint64_t mine) {
    while (!text.empty()) {
      pollfd room{STDERR_FILENO, POLLOUT, 0};
      const int ready = ::poll(&room, 1, kPatienceMs);
      if (ready == 0) {
        const std::lock_guard lock(mutex_);
        if (generation_ != mine) return;
        continue;
      }
      const std::string_view piece = next_piece(text);
      const ssize_t wrote = ::write(STDERR_FILENO, piece.data(), piece.size());
      if (wrote < 0 && errno != EINTR && errno != EAGAIN) return;
      if (wrote > 0) text.remove_prefix(static_cast<std::size_t>(wrote));
    }
  }

  std::thread thread_;
  std::mutex mutex_;
  std::condition_variable wake_;
  std::condition_variable idle_;
  std::string pending_;
  std::int64_t lost_ = 0;
  bool writing_ = false;
  int users_ = 0;
  std::uint64_t generation_ = 0;
};

// Never destroyed: a server that an exit cuts short still has its thread.
Writer& writer() {
  static Writer* const only = new Writer;
  return *only;
}

void append_text(std::string& out, std::string_view text) {
  if (is_utf8(text)) {
    append_json_string(out, text);
  } else {
    append_json_string(out, printable(text, text.size() * 4));
  }
}

}  // namespace

void set_level(Level level) { threshold.store(level, std::memory_order_relaxed); }

bool enabled(Level level) { return level >= threshold.load(std::memory_order_relaxed); }

void append_line(std::string& out, Level level, std::string_view message,
                 std::initializer_list<LogField> fields) {
  out += "{\"time\":\"";
  out += format_time(std::chrono::system_clock::now());
  out += "\",\"level\":\"";
  out += name_of(level);
  out += "\",\"message\":";
  append_text(out, message);
  for (const LogField& field : fields) {
    if (field.name.empty()) continue;
    out += ',';
    append_json_string(out, field.name);
    out += ':';
    if (const auto* text = std::get_if<std::string_view>(&field.value)) {
      append_text(out, *text);
    } else if (const auto* number = std::get_if<std::int64_t>(&field.value)) {
      out += fmt::format_int(*number).c_str();
    } else if (const auto* real = std::get_if<double>(&field.value)) {
      fmt::format_to(std::back_inserter(out), "{:.3f}", *real);
    } else {
      out += std::get<bool>(field.value) ? "true" : "false";
    }
  }
  out += "}\n";
}

void flush_lines(std::string& lines) {
  if (lines.empty()) return;
  if (!writer().take(lines)) write_all(lines);
  lines.clear();
}

void write(Level level, std::string_view message, std::initializer_list<LogField> fields) {
  if (!enabled(level)) return;
  std::string line;
  append_line(line, level, message, fields);
  flush_lines(line);
}

Background::Background() { writer().start(); }
Background::~Background() { writer().stop(); }

}  // namespace kubiya::log
