// SPDX-License-Identifier: Apache-2.0
//
// What each refusal means and what to do about it, for whoever runs the server. Pure.
#pragma once

#include <string_view>
#include <vector>

#include "identity/reason.h"

namespace kubiya::identity {

struct Advice {
  std::string_view meaning;  // one sentence
  std::string_view next;     // what to do, in the order in which to try it
};
Advice advice(Reason reason);

// By the name in log and audit; those of the policy too ("insufficient_scope", "no_api_key").
// Empty sentences for a name that refuses no credential and no permission.
Advice advice_for(std::string_view reason);

// Every name that advice_for() knows, in the order of Reason and then the policy's.
std::vector<std::string_view> known_reasons();

}  // namespace kubiya::identity
