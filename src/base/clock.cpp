// SPDX-License-Identifier: Apache-2.0
#include "base/clock.h"

#include <ctime>

#include <fmt/format.h>

namespace kubiya {

std::int64_t unix_ms(Wall time) {
  return std::chrono::duration_cast<std::chrono::milliseconds>(time.time_since_epoch()).count();
}

Wall from_unix_ms(std::int64_t milliseconds) {
  return Wall(std::chrono::duration_cast<Wall::duration>(std::chrono::milliseconds(milliseconds)));
}

std::string format_time(Wall time) {
  const std::int64_t ms = unix_ms(time);
  const std::int64_t part = ((ms % 1000) + 1000) % 1000;
  const std::time_t seconds = static_cast<std::time_t>((ms - part) / 1000);
  std::tm utc{};
  gmtime_r(&seconds, &utc);
  return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}Z", utc.tm_year + 1900,
                     utc.tm_mon + 1, utc.tm_mday, utc.tm_hour, utc.tm_min, utc.tm_sec, part);
}

}  // namespace kubiya
