// SPDX-License-Identifier: Apache-2.0
//
// Opaque texts that clients carry for us: cursors of lists and the state of calls that asked
// for something first. Sealed and bound to whom and what they were made for, because they come
// back from outside. Any thread.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "base/clock.h"
#include "base/secret.h"
#include "crypto/seal.h"

namespace kubiya::mcp {

class Handles {
 public:
  explicit Handles(const Secret& secret)
      : cursors_(secret, "mcp cursor"), states_(secret, "mcp request state") {}

  // `owner` is Principal::owner(), or empty for what everybody sees.
  std::string cursor(std::string_view owner, std::string_view list,
                     std::string_view position) const;
  std::optional<std::string> position(std::string_view owner, std::string_view list,
                                      std::string_view cursor) const;

  // Of which call a state is. `arguments` is a digest.
  struct Call {
    std::string_view owner;
    std::string_view method;
    std::string_view name;
    std::string_view arguments;
  };
  std::string state(const Call& call, std::string_view state, Wall expires) const;
  // Nothing for a state of another call, another's, an altered one or one past its time.
  std::optional<std::string> open_state(const Call& call, std::string_view text, Wall now) const;

 private:
  crypto::Sealer cursors_;
  crypto::Sealer states_;
};

}  // namespace kubiya::mcp
