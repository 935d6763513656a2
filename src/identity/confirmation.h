// SPDX-License-Identifier: Apache-2.0
//
// Whose a token is, beyond whoever bears it: the members of `cnf` (RFC 7800 §3.1) that a request
// can be held against. With both, a request must satisfy both.
#pragma once

#include <memory>
#include <string>

namespace kubiya::identity {

struct Confirmation {
  std::string key;          // `jkt` (RFC 9449 §6.1): the digest of 32 bytes; empty: none
  std::string certificate;  // `x5t#S256` (RFC 8705 §3.1): likewise
};
// Null: the token is whoever's who bears it.
using ConfirmationPtr = std::shared_ptr<const Confirmation>;

}  // namespace kubiya::identity
