// SPDX-License-Identifier: Apache-2.0
//
// Output of steps made fit for keeping: secrets out, UTF-8 whole. Pure.
#pragma once

#include <array>
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
  struct Cut {
    std::string ready;
    std::size_t at = 0;       // what is behind waits for more
    std::size_t covered = 0;  // of that, these bytes are hidden already
  };
  // All of `text` up to `end`, or to where a secret may begin that is not there yet.
  Cut scrub(std::string_view text, std::size_t end, std::size_t covered, bool is_last) const;
  bool may_begin(std::string_view text) const;
  std::size_t longest_at(std::string_view text) const;
  std::vector<Secret> secrets_;    // longest first
  std::array<bool, 256> first_{};  // bytes that secrets begin with
  std::string pending_;
  std::size_t covered_ = 0;
};

// Counts down what may be kept; the rest is counted.
class Allowance {
 public:
  explicit Allowance(std::size_t bytes) : left_(bytes) {}
  // The part of `text` that is kept, cut at a character.
  std::string take(std::string text);
  bool used_up() const { return left_ == 0; }
  void drop(std::size_t bytes) { dropped_ += bytes; }
  // Dropped since the last call.
  std::size_t dropped();

 private:
  std::size_t left_;
  std::size_t dropped_ = 0;
};

}  // namespace kubiya::engine
