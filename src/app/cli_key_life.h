// SPDX-License-Identifier: Apache-2.0
//
// Commands for keys that are there: their rotation, labels and use.
#pragma once

#include <string>
#include <vector>

#include "app/cli.h"

namespace kubiya::app::cli {

struct KeyCommand {
  Installation where;
  std::string id;
  std::string expires;              // of `rotate`: a duration, "never", or empty: as long as before
  std::string overlap = "7d";       // of `promote`: how long the old key goes on
  bool force = false;               // of `retire`: also when it is in use
  std::vector<std::string> labels;  // of `label`: name=value sets one, name= takes it away
  bool json = false;
};
int key_describe(const KeyCommand& command);
int key_rotate(const KeyCommand& command);
int key_promote(const KeyCommand& command);
int key_retire(const KeyCommand& command);
int key_label(const KeyCommand& command);
int key_usage(const KeyCommand& command);

}  // namespace kubiya::app::cli
