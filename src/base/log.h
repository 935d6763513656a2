// SPDX-License-Identifier: Apache-2.0
//
// JSON lines on stderr. One call is one line; per-request lines are gathered per thread
// and flushed by the owner. Values are escaped, so nothing a client sends can forge a
// line; a Secret cannot be passed.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>
#include <variant>

namespace kubiya {

enum class Level { debug, info, warn, error, off };

struct LogField {
  std::string_view name;
  std::variant<std::string_view, std::int64_t, double, bool> value;

  LogField(std::string_view n, std::string_view v) : name(n), value(v) {}
  LogField(std::string_view n, const std::string& v) : name(n), value(std::string_view(v)) {}
  LogField(std::string_view n, const char* v) : name(n), value(std::string_view(v)) {}
  LogField(std::string_view n, bool v) : name(n), value(v) {}
  LogField(std::string_view n, double v) : name(n), value(v) {}
  template <class T>
    requires(std::is_integral_v<T> && !std::is_same_v<T, bool>)
  LogField(std::string_view n, T v) : name(n), value(static_cast<std::int64_t>(v)) {}
};

namespace log {

void set_level(Level level);
bool enabled(Level level);
// Any thread.
void write(Level level, std::string_view message, std::initializer_list<LogField> fields = {});
inline void debug(std::string_view m, std::initializer_list<LogField> f = {}) {
  write(Level::debug, m, f);
}
inline void info(std::string_view m, std::initializer_list<LogField> f = {}) {
  write(Level::info, m, f);
}
inline void warn(std::string_view m, std::initializer_list<LogField> f = {}) {
  write(Level::warn, m, f);
}
inline void error(std::string_view m, std::initializer_list<LogField> f = {}) {
  write(Level::error, m, f);
}

// Appends one line, newline included, to `out` without writing it. A field without a name is left
// out.
void append_line(std::string& out, Level level, std::string_view message,
                 std::initializer_list<LogField> fields);
// Hands over gathered lines, newlines included, and clears them. Any thread.
void flush_lines(std::string& lines);

// While one exists, lines go through a bounded buffer to a thread of their own, so that a reader
// of stderr who stalls stops nobody. Lines beyond the buffer are counted, and the count is
// written when there is room again. The last one's end waits for the buffer, but not for long.
class Background {
 public:
  Background();
  ~Background();
  Background(const Background&) = delete;
  Background& operator=(const Background&) = delete;
};

}  // namespace log
}  // namespace kubiya
