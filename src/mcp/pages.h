// SPDX-License-Identifier: Apache-2.0
//
// What the endpoint serves to people and not to clients: pages behind links that show or take a
// secret; and how a person whose token leads to no Kubiya key gets one.
#pragma once

#include <functional>
#include <string>

#include "base/principal.h"
#include "base/result.h"
#include "base/secret.h"
#include "identity/ask_box.h"
#include "identity/one_time_box.h"

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

// What the pages for people show and take. Null: there are none.
struct Pages {
  identity::OneTimeBox* once = nullptr;
  identity::AskBox* asks = nullptr;
  KeySource key_source = {};
};

}  // namespace kubiya::mcp
