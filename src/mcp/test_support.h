// SPDX-License-Identifier: Apache-2.0
//
// What tests of streams share: a peer that keeps what it was sent.
#pragma once

#include <memory>
#include <string>
#include <utility>

#include "base/clock.h"
#include "http/message.h"
#include "identity/minter.h"

namespace kubiya::mcp {

class Peer final : public http::EventStream::Impl {
 public:
  void write(std::string bytes) override { said += bytes; }
  void close() override { closed = true; }
  bool open() const override { return !closed && !left; }

  std::string said;
  bool closed = false;
  bool left = false;  // by itself
};
using PeerPtr = std::shared_ptr<Peer>;

struct TestClock final : Clock {
  Wall wall() const override { return wall_now; }
  Mono mono() const override { return mono_now; }
  Wall wall_now = from_unix_ms(1'700'000'000'000);
  Mono mono_now{std::chrono::hours(1)};
};

inline PrincipalPtr somebody(std::string subject, std::string tenant = "acme",
                             Wall expires = Wall::max()) {
  PrincipalFacts facts;
  facts.tenant = std::move(tenant);
  facts.issuer = "https://issuer.example";
  facts.subject = std::move(subject);
  facts.expires_at = facts.trusted_until = expires;
  return identity::Minter::mint(std::move(facts));
}

}  // namespace kubiya::mcp
