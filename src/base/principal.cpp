// SPDX-License-Identifier: Apache-2.0
#include "base/principal.h"

#include <charconv>

namespace kubiya {
namespace {

void append_field(std::string& out, std::string_view field) {
  char digits[20];
  const auto end = std::to_chars(digits, digits + sizeof digits, field.size()).ptr;
  out.append(digits, end) += ':';
  out += field;
}

}  // namespace

std::string_view to_string(CredentialKind kind) {
  switch (kind) {
    case CredentialKind::token:
      return "token";
    case CredentialKind::client_token:
      return "client_token";
    case CredentialKind::api_key:
      return "api_key";
    case CredentialKind::shared_key:
      return "shared_key";
  }
  return "token";
}

Principal::Principal(PrincipalFacts&& facts) : facts_(std::move(facts)) {
  constexpr std::size_t kPunctuation = 20;  // three lengths, as long as they are of four digits
  owner_.reserve(facts_.tenant.size() + facts_.issuer.size() + facts_.subject.size() +
                 kPunctuation);
  append_field(owner_, facts_.tenant);
  append_field(owner_ += ',', facts_.issuer);
  append_field(owner_ += ',', facts_.subject);
}

}  // namespace kubiya
