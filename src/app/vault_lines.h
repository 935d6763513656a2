// SPDX-License-Identifier: Apache-2.0
//
// The file of `vault import`: CSV (RFC 4180) with a header of column names, or one JSON object a
// line, told by its first character. Columns and members: subject or reference, key, and where they
// differ issuer and tenant. Pure.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/secret.h"
#include "store/vault.h"

namespace kubiya::app {

struct VaultLine {
  store::VaultRow row;  // tenant, issuer, kind and name
  Secret key;
};

// `standard` has tenant and issuer of lines that name none. Errors name the line and never quote
// it.
Result<std::vector<VaultLine>> read_vault_lines(std::string_view text,
                                                const store::VaultRow& standard);

// That the row names somebody, in characters that a token could.
Result<> check_vault_row(const store::VaultRow& row);

}  // namespace kubiya::app
