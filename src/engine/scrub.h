// SPDX-License-Identifier: Apache-2.0
//
// Output of steps made fit for keeping: secrets out, UTF-8 whole. Pure.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "base/secret.h"

namespace kubiya::engine {

// Well-formed UTF-8 of `bytes`: each ill-formed byte becomes U+FFFD.
std::string to_utf8(std::string_view bytes);

// Replaces the exact occurrences of secrets by "[redacted]", also where they are cut by the
// boundaries of what is fed.
class Scrubber {
 public:
  // Secrets shorter than kShortest are left alone: replacing them would tear up all text.
  static constexpr std::size_t kShortest = 4;
  explicit Scrubber(std::vector<Secret> secrets);
  // Text that is final; what may be the start of a secret or a cut character stays inside.
  std::string feed(std::string_view bytes);
  // The rest.
  std::string finish();
  std::string whole(std::string_view bytes) const;

 private:
  void replace_all(std::string& text) const;
  std::size_t held_back(std::string_view text) const;
  std::vector<Secret> secrets_;  // longest first
  std::string pending_;
};

// Counts down what may be kept; the rest is counted.
class Allowance {
 public:
  explicit Allowance(std::size_t bytes) : left_(bytes) {}
  // The part of `text` that is kept, cut at a character.
  std::string take(std::string text);
  // Dropped since the last call.
  std::size_t dropped();

 private:
  std::size_t left_;
  std::size_t dropped_ = 0;
};

}  // namespace kubiya::engine
