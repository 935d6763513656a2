// SPDX-License-Identifier: Apache-2.0
#include "identity/trail.h"

#include <algorithm>
#include <array>

#include "base/result.h"

namespace kubiya::identity {
namespace {

struct Words {
  std::string_view name, question;
};

constexpr std::array<Words, kChecks> kWords{{
    {"credential", "Is there exactly one credential, of a kind that is taken here?"},
    {"token", "Can it be read as a signed token?"},
    {"introspection", "Does its issuer, asked about it, vouch for it?"},
    {"issuer", "Is it from a configured issuer?"},
    {"type", "Is it an access token?"},
    {"audience", "Is it meant for this server?"},
    {"required_claims", "Does it hold the claims that the configuration demands?"},
    {"times", "Is it valid now?"},
    {"subject", "Does it say who the caller is?"},
    {"proof", "If it is bound to a key or a certificate, can that be checked?"},
    {"tenant", "Is the caller's tenant one that is served?"},
    {"scopes", "Can its scopes be read?"},
    {"key_claim", "Can a Kubiya key be read from it?"},
    {"signing_key", "Is its signing key one of the issuer's?"},
    {"signature", "Is the signature right?"},
    {"person", "Is the person one who was not cut off?"},
    {"vault", "Where it carries no key: is the one that is kept for the caller usable?"},
    {"api_key", "Is the Kubiya key good, and the caller's own?"},
}};

// Those that only a signed token has.
bool is_of_signatures(Check check) {
  return check == Check::token || check == Check::type || check == Check::signing_key ||
         check == Check::signature;
}

}  // namespace

std::string_view to_string(Check check) { return kWords[static_cast<std::size_t>(check)].name; }
std::string_view question(Check check) { return kWords[static_cast<std::size_t>(check)].question; }

std::string_view to_string(Outcome outcome) {
  switch (outcome) {
    case Outcome::passed:
      return "passed";
    case Outcome::failed:
      return "failed";
    case Outcome::not_reached:
      return "not_reached";
  }
  return "not_reached";
}

void Trail::say(std::string text) {
  ASSERT(!steps_.empty(), "a check is under way");
  std::string& detail = steps_.back().detail;
  if (!detail.empty()) detail += "; ";
  detail += text;
}

void Trail::fail(std::string_view detail) {
  ASSERT(!steps_.empty(), "a check is under way");
  steps_.back().outcome = Outcome::failed;
  if (!detail.empty()) say(std::string(detail));
}

bool Trail::has(Check check) const {
  return std::any_of(steps_.begin(), steps_.end(),
                     [check](const Step& step) { return step.check == check; });
}

// Whether a credential of this kind comes to the check at all.
bool Trail::belongs(Check check) const {
  if (has(Check::api_key) && !has(Check::issuer)) return check == Check::api_key;
  if (has(Check::introspection)) return !is_of_signatures(check);
  return check != Check::introspection;
}

std::vector<Trail::Step> Trail::steps() const {
  std::vector<Step> out = steps_;
  if (!failed()) return out;
  for (std::size_t i = static_cast<std::size_t>(steps_.back().check) + 1; i < kChecks; ++i) {
    const auto check = static_cast<Check>(i);
    if (belongs(check)) out.push_back({check, Outcome::not_reached, {}});
  }
  return out;
}

}  // namespace kubiya::identity
