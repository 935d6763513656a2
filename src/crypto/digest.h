// SPDX-License-Identifier: Apache-2.0
//
// Digests and comparison. All results are raw bytes.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

namespace kubiya::crypto {

using Digest = std::array<unsigned char, 32>;

Digest sha256(std::string_view bytes);
Digest hmac_sha256(std::string_view key, std::string_view bytes);
std::string_view view(const Digest& digest);
// First 8 hex digits of SHA-256: the only form in which a secret may appear in a log.
std::string fingerprint(std::string_view secret);
// Time depends on the length only.
bool equal_constant_time(std::string_view a, std::string_view b);

// SHA-256 with a context kept between uses, for hot paths. One thread at a time.
class Sha256 {
 public:
  Sha256();
  ~Sha256();
  Sha256(const Sha256&) = delete;
  Sha256& operator=(const Sha256&) = delete;
  Digest operator()(std::string_view bytes);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace kubiya::crypto
