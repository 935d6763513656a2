// SPDX-License-Identifier: Apache-2.0
//
// What was looked at on the way to a verdict, and with which outcome. The judge writes one only
// when it is asked why: where there is none, nothing is written. Holds no token and no key. One
// thread at a time.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace kubiya::identity {

// In the order in which they are made.
enum class Check {
  credential,       // one usable credential was presented
  token,            // a signed token whose parts and header can be read
  introspection,    // its issuer, asked about it, vouches for it
  issuer,           // `iss` names a configured issuer
  type,             // `typ`
  audience,         // `aud` names this server
  required_claims,  // what the configuration demands of claims
  times,            // `exp`, `nbf`, `iat`
  subject,
  proof,  // `cnf`
  tenant,
  scopes,
  key_claim,    // the claim that holds the Kubiya key
  signing_key,  // the issuer's key that the token names
  signature,
  person,   // the caller was not cut off
  vault,    // the key that is kept for the caller, looked for where the token carries none
  api_key,  // the Kubiya key itself
};
inline constexpr std::size_t kChecks = static_cast<std::size_t>(Check::api_key) + 1;

std::string_view to_string(Check check);
// What is asked, for people: "Is it meant for this server?".
std::string_view question(Check check);

enum class Outcome { passed, failed, not_reached };
std::string_view to_string(Outcome outcome);

class Trail {
 public:
  struct Step {
    Check check = Check::credential;
    Outcome outcome = Outcome::passed;
    std::string detail;
  };

  // A check begins; the one before it has passed.
  void begin(Check check) { steps_.push_back({check, Outcome::passed, {}}); }
  // What the check under way looks at or has found.
  void say(std::string text);
  // The check under way failed, and no other follows.
  void fail(std::string_view detail);
  void clear() { steps_.clear(); }

  // Whether something failed.
  bool failed() const { return !steps_.empty() && steps_.back().outcome == Outcome::failed; }
  // What was checked, and behind a failure what would have been.
  std::vector<Step> steps() const;

 private:
  bool has(Check check) const;
  bool belongs(Check check) const;
  std::vector<Step> steps_;
};

// For the judge, which mostly has none.
inline void begin(Trail* trail, Check check) {
  if (trail != nullptr) trail->begin(check);
}
// `text` is a function that gives it, called only when somebody reads it.
template <class Text>
void say(Trail* trail, Text&& text) {
  if (trail != nullptr) trail->say(std::forward<Text>(text)());
}

}  // namespace kubiya::identity
