// SPDX-License-Identifier: Apache-2.0
//
// An explanation as people and programs read it. Shows no token and no key. Pure.
#pragma once

#include <string>

#include "base/scopes.h"
#include "identity/explain.h"
#include "policy/policy.h"

namespace kubiya::app {

// What every request needs and this caller has not: the server's scopes and the issuer's.
Scopes missing_of_all(const identity::Explanation& out, const policy::Policy& policy);

std::string explanation_text(const identity::Explanation& out, const policy::Policy& policy);
// One JSON object and a newline.
std::string explanation_json(const identity::Explanation& out, const policy::Policy& policy);

// Every reason with its advice, as docs/troubleshooting.md has it.
std::string reasons_page();

}  // namespace kubiya::app
