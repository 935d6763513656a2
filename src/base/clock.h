// SPDX-License-Identifier: Apache-2.0
//
// Time comes in from outside, so that every decision that depends on it can be
// tested at any moment. Wall time judges tokens and stamps records; monotonic
// time drives caches and timeouts, so a stepped clock revives nothing.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>

namespace kubiya {

using Wall = std::chrono::system_clock::time_point;
using Mono = std::chrono::steady_clock::time_point;

class Clock {
 public:
  virtual ~Clock() = default;
  virtual Wall wall() const = 0;
  virtual Mono mono() const = 0;
};

class SystemClock final : public Clock {
 public:
  Wall wall() const override { return std::chrono::system_clock::now(); }
  Mono mono() const override { return std::chrono::steady_clock::now(); }
};

// Unix time in milliseconds and back.
std::int64_t unix_ms(Wall time);
Wall from_unix_ms(std::int64_t milliseconds);

// "2026-11-22T22:51:00.123Z" (RFC 3339, UTC, milliseconds).
std::string format_time(Wall time);

}  // namespace kubiya
