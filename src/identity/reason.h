// SPDX-License-Identifier: Apache-2.0
//
// Why a credential was refused: one value per check, for log, audit and tests. The
// wire says "token expired" or "token invalid" and nothing else.
#pragma once

#include <string_view>

namespace kubiya::identity {

enum class Reason {
  // no usable credential
  no_credential,
  bad_authorization_header,  // malformed, empty, unknown scheme
  several_credentials,
  credential_in_query,
  argument_key_refused,  // api_key argument where the mode forbids it
  opaque_token,          // of a known provider and for itself alone: no JWT that others can read
  // the envelope of a token
  token_too_long,
  not_three_parts,
  bad_base64,
  bad_header_json,
  bad_claims_json,
  bad_algorithm,     // missing, not a string, or not one of the issuer's
  critical_header,   // any `crit`, `b64`, `zip`
  wrong_token_type,  // `typ` or `cty`
  bad_key_id,
  unknown_key,
  key_mismatch,  // algorithm against key type, curve or use
  bad_signature,
  // claims
  wrong_issuer,
  wrong_audience,
  token_expired,
  token_not_yet_valid,
  issued_in_future,
  lifetime_too_long,
  bad_claim,  // missing or of the wrong type: the detail names it
  bad_subject,
  unsupported_confirmation,  // `cnf` that no request could be held against
  wrong_tenant,
  group_overage,   // the groups that scopes come from were too many for the token
  person_cut_off,  // whoever runs this server ended all that this person holds
  // what a token is bound to
  token_not_bound,           // where only bound tokens are taken
  proof_required,            // bound to a key, and no DPoP proof came with it
  bad_proof,                 // malformed, or its signature is wrong: the detail says what
  proof_of_another_request,  // htm, htu or ath
  proof_outdated,            // iat outside of the window
  nonce_required,            // none of this server's is in the proof, or one that has run out
  proof_of_another_key,
  proof_replayed,
  certificate_required,  // bound to a client certificate, and the connection has none
  wrong_certificate,
  // keys
  key_claims_disagree,
  key_of_another_owner,
  bad_api_key,  // malformed or checksum
  unknown_api_key,
  revoked_api_key,
  expired_api_key,
  key_reference_unknown,  // a claim refers to a key that the vault does not keep
  vault_record_invalid,   // the vault's record was changed, or put in another's place
  vault_key_unknown,      // no vault key here opens the record
  // dependencies
  token_inactive,             // the issuer, asked about the token, does not vouch for it
  keys_unavailable,           // the identity provider cannot be reached and nothing is cached
  introspection_unavailable,  // the issuer cannot be asked about the token
  overloaded,
};

std::string_view to_string(Reason reason);
// True for the reasons that mean "try again later" (503) rather than "bad credential" (401).
bool is_transient(Reason reason);
// True for the reasons that speak of a DPoP proof and not of the token (RFC 9449 §7.1).
bool is_about_proof(Reason reason);

}  // namespace kubiya::identity
