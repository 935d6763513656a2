// SPDX-License-Identifier: Apache-2.0
#include "identity/credential.h"

#include <algorithm>
#include <cstdint>

#include "base/eight_bytes.h"
#include "base/encoding.h"

namespace kubiya::identity {
namespace {

// Of eight bytes, those that a token68 may hold (RFC 9110 §11.2).
constexpr std::uint64_t token68_bytes(std::uint64_t word) {
  return bytes_between(lower_case(word), 'a', 'z') | bytes_between(word, '-', '9') |  // -./0…9
         bytes_between(word, '+', '+') | bytes_between(word, '_', '_') |
         bytes_between(word, '~', '~');
}

// Eight bytes at a time: a token is the longest header there is.
bool is_token68(std::string_view text) {
  const std::size_t last = text.find_last_not_of('=');
  if (last == std::string_view::npos) return false;
  text = text.substr(0, last + 1);
  std::uint64_t allowed = kTopBits;
  for (; text.size() >= 8; text.remove_prefix(8))
    allowed &= token68_bytes(eight_bytes(text.data()));
  char rest[8] = {'x', 'x', 'x', 'x', 'x', 'x', 'x', 'x'};
  text.copy(rest, text.size());
  allowed &= token68_bytes(eight_bytes(rest));
  return allowed == kTopBits;
}

// No token68, but meant as a token: a JWS in JSON form, or in compact form with bytes that have no
// place there. That is refused as a token, with the challenge that makes a client get another.
bool is_misspelt_token(std::string_view text) {
  if (text.starts_with('{')) return true;
  const bool visible =
      std::all_of(text.begin(), text.end(), [](char c) { return c > 0x20 && c < 0x7F; });
  return visible && !text.starts_with('"') && std::count(text.begin(), text.end(), '.') >= 2;
}

tl::expected<Credential, Reason> find_token(const Presented& presented) {
  if (!presented.argument_key.empty()) return tl::unexpected(Reason::argument_key_refused);
  if (presented.authorization_count == 0) {
    return tl::unexpected(presented.api_key_count == 0 ? Reason::no_credential
                                                       : Reason::argument_key_refused);
  }
  const auto token = parse_authorization(presented.authorization, {"Bearer"});
  if (token) return Credential{*token, Source::token};
  const auto bound = parse_authorization(presented.authorization, {"DPoP"});
  if (!bound) return tl::unexpected(Reason::bad_authorization_header);
  return Credential{*bound, Source::token, true};
}

// Nothing when no header carries a key.
tl::expected<std::optional<std::string_view>, Reason> find_header_key(const Presented& presented) {
  if (presented.api_key_count != 0) return presented.api_key;
  if (presented.authorization_count == 0) return std::nullopt;
  const auto key = parse_authorization(presented.authorization, {"Bearer", "UserKey"});
  if (!key) return tl::unexpected(Reason::bad_authorization_header);
  return key;
}

tl::expected<Credential, Reason> find_key(const Presented& presented,
                                          const AuthenticatorOptions& options) {
  const auto header = find_header_key(presented);
  if (!header) return tl::unexpected(header.error());
  if (!presented.argument_key.empty()) {
    if (!options.allow_key_argument) return tl::unexpected(Reason::argument_key_refused);
    if (*header && **header != presented.argument_key) {
      return tl::unexpected(Reason::several_credentials);
    }
    return Credential{presented.argument_key, Source::argument_key};
  }
  if (*header) return Credential{**header, Source::header_key};
  const bool may_share = presented.loopback || options.allow_shared_key;
  if (options.shared_key && !options.shared_key->empty() && may_share) {
    return Credential{options.shared_key->reveal(), Source::shared_key};
  }
  return tl::unexpected(Reason::no_credential);
}

}  // namespace

std::optional<std::string_view> parse_authorization(
    std::string_view value, std::initializer_list<std::string_view> schemes) {
  const std::size_t space = value.find(' ');
  if (space == std::string_view::npos) return std::nullopt;
  const std::string_view scheme = value.substr(0, space);
  const std::string_view credential = value.substr(space + 1);
  const bool known = std::any_of(schemes.begin(), schemes.end(),
                                 [&](std::string_view name) { return iequals(name, scheme); });
  if (!known) return std::nullopt;
  return credential;
}

bool is_well_formed(const Credential& credential) {
  const bool in_header =
      credential.source == Source::token || credential.source == Source::header_key;
  if (!in_header || is_token68(credential.text)) return true;
  return credential.source == Source::token && is_misspelt_token(credential.text);
}

tl::expected<Credential, Reason> find_credential(const Presented& presented,
                                                 const AuthenticatorOptions& options) {
  if (presented.credential_in_query) return tl::unexpected(Reason::credential_in_query);
  if (presented.authorization_count + presented.api_key_count > 1) {
    return tl::unexpected(Reason::several_credentials);
  }
  return options.mode == Mode::token ? find_token(presented) : find_key(presented, options);
}

}  // namespace kubiya::identity
