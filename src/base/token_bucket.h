// SPDX-License-Identifier: Apache-2.0
//
// A rate with a burst: in any time t at most burst + rate × t are let through. One thread at a
// time. Pure.
#pragma once

#include <algorithm>

#include "base/clock.h"

namespace kubiya {

class TokenBucket {
 public:
  TokenBucket(double per_second, double burst)
      : per_second_(per_second), burst_(burst), tokens_(burst) {}

  bool take(Mono now) {
    refill(now);
    if (tokens_ < 1) return false;
    tokens_ -= 1;
    return true;
  }
  // As good as new: nothing was taken, or all of it has come back.
  bool full(Mono now) {
    refill(now);
    return tokens_ >= burst_;
  }

 private:
  void refill(Mono now) {
    const double seconds = std::chrono::duration<double>(now - refilled_).count();
    if (seconds > 0) tokens_ = std::min(burst_, tokens_ + seconds * per_second_);
    refilled_ = std::max(refilled_, now);
  }

  double per_second_;
  double burst_;
  double tokens_;
  Mono refilled_{};
};

}  // namespace kubiya
