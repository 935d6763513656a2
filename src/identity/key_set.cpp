// SPDX-License-Identifier: Apache-2.0
#include "identity/key_set.h"

#include <algorithm>

#include <fmt/format.h>

#include "base/encoding.h"
#include "identity/claim_readers.h"

namespace kubiya::identity {
namespace {

constexpr std::size_t kDocumentBytes = 256 * 1024;
constexpr std::size_t kKeys = 64;
constexpr std::size_t kDepth = 8;
constexpr std::size_t kKeyIdBytes = TokenLimits{}.kid_bytes;

// RFC 7517 §4.2 and §4.3: both are optional, and each present one must allow verification.
Result<> check_purpose(const json::object& jwk) {
  if (jwk.contains("use") && find_string(jwk, "use") != "sig") {
    return fail(Code::invalid, "not for signatures", "use");
  }
  const json::value* operations = find(jwk, "key_ops");
  if (operations == nullptr) return {};
  const json::array* list = operations->if_array();
  const bool verifies = list != nullptr && std::any_of(list->begin(), list->end(), [](auto& item) {
                          return item.is_string() && item.get_string() == "verify";
                        });
  if (!verifies) return fail(Code::invalid, "not for signatures", "key_ops");
  return {};
}

Result<std::optional<std::string>> read_key_id(const json::object& jwk) {
  if (!jwk.contains("kid")) return std::nullopt;
  const auto kid = find_string(jwk, "kid");
  if (!kid || !is_plain(*kid, kKeyIdBytes)) return fail(Code::invalid, "unusable kid");
  return std::string(*kid);
}

Result<std::optional<crypto::Algorithm>> read_algorithm(const json::object& jwk,
                                                        crypto::KeyType type) {
  if (!jwk.contains("alg")) return std::nullopt;
  const auto algorithm = crypto::algorithm(find_string(jwk, "alg").value_or(""));
  if (!algorithm) return fail(Code::unsupported, "unsupported alg");
  if (!crypto::fits(*algorithm, type)) return fail(Code::invalid, "alg does not fit the key");
  return algorithm;
}

// Entra's keys say whose tokens they sign: everybody's ("…/{tenantid}/v2.0") or one tenant's.
bool serves_tenant(std::string_view issuer, const json::object& claims) {
  if (issuer.empty() || issuer.find("/{tenantid}/") != issuer.npos) return true;
  const auto tenant = find_string(claims, "tid");
  return tenant && issuer.find("/" + std::string(*tenant) + "/") != issuer.npos;
}

std::string describe(std::size_t index, const json::value& value, const Error& error) {
  std::string_view kid;
  if (const auto* jwk = value.if_object()) kid = find_string(*jwk, "kid").value_or("");
  return fmt::format("key {} '{}': {}{}{}", index, printable(kid, 32), error.message,
                     error.detail.empty() ? "" : ": ", error.detail);
}

}  // namespace

Result<KeySet::Entry> KeySet::read_entry(const json::value& value) {
  const json::object* jwk = value.if_object();
  if (jwk == nullptr) return fail(Code::invalid, "not an object");
  TRY_VOID(check_purpose(*jwk));
  Entry entry;
  entry.kid = TRY(read_key_id(*jwk));
  entry.key = TRY(crypto::PublicKey::from_jwk(*jwk));
  entry.algorithm = TRY(read_algorithm(*jwk, entry.key.type()));
  entry.issuer = find_string(*jwk, "issuer").value_or("");
  return entry;
}

// Of two keys with one name, neither: which of them a token means cannot be told.
void KeySet::drop_duplicates() {
  std::vector<Entry> unique;
  for (const Entry& entry : keys_) {
    const auto same = [&entry](const Entry& other) { return entry.kid && other.kid == entry.kid; };
    if (std::count_if(keys_.begin(), keys_.end(), same) > 1) {
      skipped_.push_back(fmt::format("key '{}': duplicate kid", printable(*entry.kid, 32)));
    } else {
      unique.push_back(entry);
    }
  }
  keys_ = std::move(unique);
}

Result<KeySet> KeySet::parse(std::string_view text) {
  if (text.size() > kDocumentBytes) return fail(Code::too_large, "the key set is too large");
  JsonLimits limits;
  limits.depth = kDepth;
  const json::value document = TRY(parse_json(text, limits));
  const json::object* object = document.if_object();
  const json::array* keys = object == nullptr ? nullptr : find_array(*object, "keys");
  if (keys == nullptr) return fail(Code::invalid, "not a key set", "no array 'keys'");
  if (keys->size() > kKeys) return fail(Code::too_large, "the key set holds too many keys");
  KeySet out;
  for (std::size_t i = 0; i < keys->size(); ++i) {
    auto entry = read_entry((*keys)[i]);
    if (entry) {
      out.keys_.push_back(std::move(*entry));
    } else {
      out.skipped_.push_back(describe(i, (*keys)[i], entry.error()));
    }
  }
  out.drop_duplicates();
  if (out.keys_.empty()) {
    return fail(Code::invalid, "the key set holds no usable key",
                fmt::format("{}", fmt::join(out.skipped_, "; ")));
  }
  return out;
}

Checked<const KeySet::Entry*> KeySet::find_entry(const UnverifiedToken& token) const {
  const Entry* entry = nullptr;
  if (token.kid) {
    const auto named = [&token](const Entry& e) { return e.kid == token.kid; };
    const auto at = std::find_if(keys_.begin(), keys_.end(), named);
    if (at == keys_.end()) return fail(Reason::unknown_key, printable(*token.kid, 32));
    entry = &*at;
  } else if (keys_.size() == 1) {
    entry = &keys_.front();
  } else {
    return fail(Reason::bad_key_id, "the token names no key and the set has several");
  }
  if (!entry->serves(token.algorithm)) {
    return fail(Reason::key_mismatch, std::string(crypto::name(token.algorithm)));
  }
  return entry;
}

bool KeySet::serves(crypto::Algorithm algorithm) const {
  return std::any_of(keys_.begin(), keys_.end(),
                     [algorithm](const Entry& entry) { return entry.serves(algorithm); });
}

Checked<const crypto::PublicKey*> KeySet::select(const UnverifiedToken& token) const {
  return &TRY(find_entry(token))->key;
}

Checked<const crypto::PublicKey*> KeySet::select(const UnverifiedToken& token,
                                                 const TokenRules& rules) const {
  const Entry* entry = TRY(find_entry(token));
  if (rules.provider == Provider::entra && !serves_tenant(entry->issuer, token.claims)) {
    return fail(Reason::key_mismatch, "a key of another tenant");
  }
  return &entry->key;
}

Checked<void> verify_signature(const UnverifiedToken& token, const TokenRules& rules,
                               const KeySet& keys, Trail* trail) {
  begin(trail, Check::signing_key);
  say(trail, [&] {
    return fmt::format("{} with {} of {} usable keys", crypto::name(token.algorithm),
                       token.kid ? "key '" + printable(*token.kid, 32) + "'" : "no key named",
                       keys.size());
  });
  const auto& allowed = rules.algorithms;
  if (std::find(allowed.begin(), allowed.end(), token.algorithm) == allowed.end()) {
    return fail(Reason::bad_algorithm, std::string(crypto::name(token.algorithm)));
  }
  const crypto::PublicKey* key = TRY(keys.select(token, rules));
  begin(trail, Check::signature);
  if (!key->verify(token.algorithm, token.signing_input, token.signature)) {
    return fail(Reason::bad_signature);
  }
  return {};
}

}  // namespace kubiya::identity
