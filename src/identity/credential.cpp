// SPDX-License-Identifier: Apache-2.0
#include "identity/credential.h"

#include <algorithm>

#include "base/encoding.h"

namespace kubiya::identity {
namespace {

bool is_token68(std::string_view text) {
  const std::size_t last = text.find_last_not_of('=');
  if (last == std::string_view::npos) return false;
  return std::all_of(
      text.begin(), text.begin() + static_cast<std::ptrdiff_t>(last) + 1, [](char c) {
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '-' && c <= '9') ||
               c == '+' || c == '_' || c == '~';  // '-' to '9': -./0123456789
      });
}

tl::expected<Credential, Reason> find_token(const Presented& presented) {
  if (!presented.argument_key.empty()) return tl::unexpected(Reason::argument_key_refused);
  if (presented.authorization_count == 0) {
    return tl::unexpected(presented.api_key_count == 0 ? Reason::no_credential
                                                       : Reason::argument_key_refused);
  }
  const auto token = parse_authorization(presented.authorization, {"Bearer"});
  if (!token) return tl::unexpected(Reason::bad_authorization_header);
  return Credential{*token, Source::token};
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
  return !in_header || is_token68(credential.text);
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
