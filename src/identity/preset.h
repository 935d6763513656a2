// SPDX-License-Identifier: Apache-2.0
//
// Presets: what a provider's tokens and documents are known to look like, as values of the
// ordinary options. A preset checks nothing that a configuration could not check without it.
#pragma once

#include "base/result.h"
#include "identity/issuer.h"

namespace kubiya::identity {

// Fills the options by `rules.provider`, `url` and `client_id`. What the configuration says
// besides comes after it and wins.
void apply_preset(IssuerOptions& options);

// Last, once the configuration is read: what follows from it, such as the spellings of `iss` of
// each accepted Entra tenant. Code::invalid says which combination cannot work.
Result<> complete_preset(IssuerOptions& options);

}  // namespace kubiya::identity
