// SPDX-License-Identifier: Apache-2.0
//
// What is wrong between this configuration and a provider, judged from what the provider
// publishes: for whoever sets the two up. Pure.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "http/client.h"
#include "identity/issuer.h"

namespace kubiya::identity {

enum class Severity {
  fine,
  note,     // good to know
  warning,  // some clients or people will not get in
  blocker,  // nobody will
};
std::string_view to_string(Severity severity);

struct Finding {
  Severity severity = Severity::fine;
  std::string_view check;  // its name, the same in every version
  std::string found;       // one sentence, from documents of strangers too: printable
  std::string fix;         // what to do; empty where there is nothing to do
};

struct Answered {
  std::string url;
  Result<http::FetchResponse> answer;
};

// What a provider answered; the order of `documents` is that of document_places().
struct Evidence {
  std::vector<Answered> documents;
  std::optional<Answered> keys;                      // absent: not asked, or no place was named
  std::optional<Checked<TokenFacts>> introspection;  // of a token that nobody ever issued
  Wall now{};                                        // this machine's clock when they came
};

// Everywhere a client or server of any form looks for the document of this issuer; what this
// configuration asks comes first.
Result<std::vector<std::string>> document_places(const IssuerOptions& options);
// Where the keys are: as configured, else as the first acceptable document says; empty: nowhere.
std::string keys_place(const IssuerOptions& options, const std::vector<Answered>& documents);

// Worst first among those of one subject; never empty.
std::vector<Finding> check_up(const IssuerOptions& options, const Evidence& evidence);

// The keys of `auth` that would do, as far as documents show it: URL, form and preset corrected.
IssuerOptions fitting(const IssuerOptions& options, const Evidence& evidence);
// The provider that this address is known to be of.
Provider guess_provider(std::string_view url);

}  // namespace kubiya::identity
