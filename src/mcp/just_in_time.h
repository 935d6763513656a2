// SPDX-License-Identifier: Apache-2.0
//
// How a person whose token leads to no Kubiya key gets one at the first call that needs it.
#pragma once

#include <functional>
#include <string>

#include "base/principal.h"
#include "base/result.h"
#include "base/secret.h"

namespace kubiya::mcp {

enum class JustInTime {
  off,
  create,  // this installation makes one
  ask,     // the person enters theirs on a page, when their client opens links (modern era)
};

// Both functions block, and once they returned the person's credential leads to the key.
struct KeySource {
  JustInTime how = JustInTime::off;
  std::string link_base;  // of the page: a token goes behind it; empty: there is none
  std::function<Result<>(const Principal&)> create = {};
  std::function<Result<>(const Principal&, Secret)> keep = {};
};

}  // namespace kubiya::mcp
