// SPDX-License-Identifier: Apache-2.0
#include "identity/claim_readers.h"

#include <algorithm>

#include "base/encoding.h"
#include "crypto/digest.h"
#include "identity/key_vault.h"

namespace kubiya::identity {
namespace {

constexpr std::size_t kShownBytes = 128;
constexpr std::size_t kDigestBytes = 32;

}  // namespace

const json::value* find_claim(const json::object& claims, std::string_view path) {
  if (const json::value* whole = claims.if_contains(path)) return whole;
  // Names may hold dots themselves ("resource_access.my.client.roles").
  for (auto dot = path.find('.'); dot != path.npos; dot = path.find('.', dot + 1)) {
    const json::object* inner = find_object(claims, path.substr(0, dot));
    if (inner == nullptr) continue;
    if (const json::value* found = find_claim(*inner, path.substr(dot + 1))) return found;
  }
  return nullptr;
}

bool is_plain(std::string_view text, std::size_t max) {
  return !text.empty() && text.size() <= max && printable(text, text.size()) == text;
}

std::string shown_claim(const json::object& claims, const std::vector<std::string>& paths) {
  for (const std::string& path : paths) {
    const json::value* value = find_claim(claims, path);
    if (value != nullptr && value->is_string()) {
      return printable(view(value->get_string()), kShownBytes);
    }
  }
  return {};
}

std::string shown_email(const json::object& claims) {
  std::string email = printable(find_string(claims, "email").value_or(""), kShownBytes);
  if (std::count(email.begin(), email.end(), '@') != 1) return {};
  return email;
}

Checked<std::optional<double>> read_time(const json::object& claims, std::string_view name) {
  const json::value* value = find(claims, name);
  if (value == nullptr) return std::nullopt;
  if (value->is_int64()) return static_cast<double>(value->get_int64());
  if (value->is_uint64()) return static_cast<double>(value->get_uint64());
  if (value->is_double()) return value->get_double();
  return fail(Reason::bad_claim, std::string(name));
}

Checked<ConfirmationPtr> read_confirmation(const json::object& claims) {
  const json::value* value = find(claims, "cnf");
  if (value == nullptr) return nullptr;
  if (!value->is_object() || value->get_object().empty()) {
    return fail(Reason::unsupported_confirmation, "not an object with members");
  }
  auto out = std::make_shared<Confirmation>();
  for (const auto& [name, member] : value->get_object()) {
    const bool key = name == "jkt";
    if (!key && name != "x5t#S256") {
      return fail(Reason::unsupported_confirmation, printable(name, kShownBytes));
    }
    auto digest = member.is_string() ? unbase64url(view(member.get_string())) : std::nullopt;
    if (!digest || digest->size() != kDigestBytes) {
      return fail(Reason::unsupported_confirmation, std::string(name) + " is no SHA-256 digest");
    }
    (key ? out->key : out->certificate) = std::move(*digest);
  }
  return out;
}

Checked<FoundKey> read_api_key(const json::object& claims, const TokenRules& rules) {
  FoundKey found;
  for (const std::string& path : rules.key_claims) {
    const json::value* value = find_claim(claims, path);
    if (value == nullptr) continue;
    if (!value->is_string() || !is_key_text(view(value->get_string()))) {
      return fail(Reason::bad_claim, path);
    }
    const std::string_view key = view(value->get_string());
    if (!found.key) {
      found = {Secret(key), "claim:" + path};
    } else if (!crypto::equal_constant_time(found.key->reveal(), key)) {
      return fail(Reason::key_claims_disagree, path);
    }
  }
  return found;
}

Checked<std::string> read_key_reference(const json::object& claims, const TokenRules& rules) {
  for (const std::string& path : rules.key_reference_claims) {
    const json::value* value = find_claim(claims, path);
    if (value == nullptr) continue;
    if (!value->is_string() || !is_key_text(view(value->get_string()))) {
      return fail(Reason::bad_claim, path);
    }
    return std::string(view(value->get_string()));
  }
  return std::string();
}

}  // namespace kubiya::identity
