// SPDX-License-Identifier: Apache-2.0
#include "base/log.h"

#include <unistd.h>

#include <atomic>
#include <cerrno>

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
  const char* data = lines.data();
  std::size_t left = lines.size();
  while (left != 0) {
    const ssize_t wrote = ::write(STDERR_FILENO, data, left);
    if (wrote < 0) {
      if (errno == EINTR) continue;
      break;  // A log that cannot be written must not stop the service.
    }
    data += wrote;
    left -= static_cast<std::size_t>(wrote);
  }
  lines.clear();
}

void write(Level level, std::string_view message, std::initializer_list<LogField> fields) {
  if (!enabled(level)) return;
  std::string line;
  append_line(line, level, message, fields);
  flush_lines(line);
}

}  // namespace kubiya::log
