// SPDX-License-Identifier: Apache-2.0
//
// What a tool does and what it needs.
#pragma once

#include <string>

#include "base/scopes.h"

namespace kubiya::policy {

enum class Effect { reads, mutates };

struct Operation {
  std::string name;  // "execute_workflow"
  Scopes scopes;     // all of them are needed
  Effect effect = Effect::reads;
  bool needs_api_key = false;  // acts with the caller's own Kubiya key
};

}  // namespace kubiya::policy
