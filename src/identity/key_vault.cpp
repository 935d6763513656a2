// SPDX-License-Identifier: Apache-2.0
#include "identity/key_vault.h"

#include <algorithm>

#include <fmt/format.h>

#include "base/encoding.h"
#include "crypto/digest.h"

namespace kubiya::identity {
namespace {

constexpr std::size_t kKeyTextMax = 1024;
constexpr std::size_t kIdHex = 16;

// Each field with its length, so that no two records share a context.
std::string context(const store::VaultRow& row) {
  const auto field = [](std::string_view text) { return fmt::format("{}:{},", text.size(), text); };
  return "kubiya-vault-1," + field(row.tenant) + field(row.issuer) + field(row.kind) +
         field(row.name) + std::to_string(row.version);
}

}  // namespace

bool is_key_text(std::string_view text) {
  return !text.empty() && text.size() <= kKeyTextMax &&
         std::all_of(text.begin(), text.end(), [](char c) { return c > ' ' && c < '\x7f'; });
}

VaultKeys::One VaultKeys::one(const Secret& secret) {
  const auto digest = crypto::hmac_sha256(secret.reveal(), "kubiya vault key id");
  return {hex(crypto::view(digest)).substr(0, kIdHex),
          crypto::Sealer(secret, "kubiya vault sealing")};
}

Result<VaultKeys> VaultKeys::make(const Secret& current, const std::optional<Secret>& previous) {
  const auto is_short = [](const Secret& key) { return key.size() < kSecretBytesMin; };
  if (is_short(current) || (previous && is_short(*previous))) {
    return fail(Code::invalid,
                fmt::format("a vault key has at least {} characters; make one with: openssl rand "
                            "-base64 32",
                            kSecretBytesMin));
  }
  VaultKeys keys;
  keys.keys_.push_back(one(current));
  if (previous) keys.keys_.push_back(one(*previous));
  return keys;
}

const VaultKeys::One* VaultKeys::find(std::string_view id) const {
  const auto at =
      std::find_if(keys_.begin(), keys_.end(), [id](const One& key) { return key.id == id; });
  return at == keys_.end() ? nullptr : &*at;
}

bool VaultKeys::knows(std::string_view id) const { return find(id) != nullptr; }

void VaultKeys::seal(store::VaultRow& row, const Secret& key) const {
  row.key_id = current_id();
  row.sealed = base64(keys_.front().sealer.seal(key.reveal(), context(row)));
}

Checked<Secret> VaultKeys::open(const store::VaultRow& row) const {
  const One* key = find(row.key_id);
  if (key == nullptr) {
    return fail(Reason::vault_key_unknown, "sealed under " + printable(row.key_id, 32));
  }
  const auto sealed = unbase64(row.sealed);
  auto text = sealed ? key->sealer.open(*sealed, context(row)) : std::nullopt;
  if (!text) return fail(Reason::vault_record_invalid);
  Secret opened = Secret::take(std::move(*text));
  if (!is_key_text(opened.reveal())) return fail(Reason::vault_record_invalid);
  return opened;
}

}  // namespace kubiya::identity
