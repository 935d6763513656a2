// SPDX-License-Identifier: Apache-2.0
#include "base/clock.h"

namespace kubiya {

std::int64_t unix_ms(Wall time) {
  return std::chrono::duration_cast<std::chrono::milliseconds>(time.time_since_epoch()).count();
}

Wall from_unix_ms(std::int64_t milliseconds) {
  return Wall(std::chrono::duration_cast<Wall::duration>(std::chrono::milliseconds(milliseconds)));
}

// RFC 3339, UTC, milliseconds. By hand: it is part of every audit record.
std::string format_time(Wall time) {
  using namespace std::chrono;
  const auto day = floor<days>(time);
  const year_month_day date(day);
  const hh_mm_ss clock(floor<milliseconds>(time - day));
  std::string out = "0000-00-00T00:00:00.000Z";
  const auto put = [&out](std::size_t end, std::int64_t value, int digits) {
    for (; digits > 0; --digits, value /= 10) out[--end] = static_cast<char>('0' + value % 10);
  };
  put(4, static_cast<int>(date.year()), 4);
  put(7, static_cast<unsigned>(date.month()), 2);
  put(10, static_cast<unsigned>(date.day()), 2);
  put(13, clock.hours().count(), 2);
  put(16, clock.minutes().count(), 2);
  put(19, clock.seconds().count(), 2);
  put(23, clock.subseconds().count(), 3);
  return out;
}

}  // namespace kubiya
