// SPDX-License-Identifier: Apache-2.0
#include "identity/reason.h"

namespace kubiya::identity {

std::string_view to_string(Reason reason) {
  switch (reason) {
    case Reason::no_credential:
      return "no_credential";
    case Reason::bad_authorization_header:
      return "bad_authorization_header";
    case Reason::several_credentials:
      return "several_credentials";
    case Reason::credential_in_query:
      return "credential_in_query";
    case Reason::argument_key_refused:
      return "argument_key_refused";
    case Reason::token_too_long:
      return "token_too_long";
    case Reason::not_three_parts:
      return "not_three_parts";
    case Reason::opaque_token:
      return "opaque_token";
    case Reason::bad_base64:
      return "bad_base64";
    case Reason::bad_header_json:
      return "bad_header_json";
    case Reason::bad_claims_json:
      return "bad_claims_json";
    case Reason::bad_algorithm:
      return "bad_algorithm";
    case Reason::critical_header:
      return "critical_header";
    case Reason::wrong_token_type:
      return "wrong_token_type";
    case Reason::bad_key_id:
      return "bad_key_id";
    case Reason::unknown_key:
      return "unknown_key";
    case Reason::key_mismatch:
      return "key_mismatch";
    case Reason::bad_signature:
      return "bad_signature";
    case Reason::wrong_issuer:
      return "wrong_issuer";
    case Reason::wrong_audience:
      return "wrong_audience";
    case Reason::token_expired:
      return "token_expired";
    case Reason::token_not_yet_valid:
      return "token_not_yet_valid";
    case Reason::issued_in_future:
      return "issued_in_future";
    case Reason::lifetime_too_long:
      return "lifetime_too_long";
    case Reason::bad_claim:
      return "bad_claim";
    case Reason::bad_subject:
      return "bad_subject";
    case Reason::unsupported_confirmation:
      return "unsupported_confirmation";
    case Reason::proof_required:
      return "proof_required";
    case Reason::token_not_bound:
      return "token_not_bound";
    case Reason::bad_proof:
      return "bad_proof";
    case Reason::proof_of_another_request:
      return "proof_of_another_request";
    case Reason::proof_outdated:
      return "proof_outdated";
    case Reason::nonce_required:
      return "nonce_required";
    case Reason::proof_of_another_key:
      return "proof_of_another_key";
    case Reason::proof_replayed:
      return "proof_replayed";
    case Reason::certificate_required:
      return "certificate_required";
    case Reason::wrong_certificate:
      return "wrong_certificate";
    case Reason::wrong_tenant:
      return "wrong_tenant";
    case Reason::group_overage:
      return "group_overage";
    case Reason::person_cut_off:
      return "person_cut_off";
    case Reason::token_inactive:
      return "token_inactive";
    case Reason::key_claims_disagree:
      return "key_claims_disagree";
    case Reason::key_of_another_owner:
      return "key_of_another_owner";
    case Reason::bad_api_key:
      return "bad_api_key";
    case Reason::unknown_api_key:
      return "unknown_api_key";
    case Reason::revoked_api_key:
      return "revoked_api_key";
    case Reason::expired_api_key:
      return "expired_api_key";
    case Reason::key_reference_unknown:
      return "key_reference_unknown";
    case Reason::vault_record_invalid:
      return "vault_record_invalid";
    case Reason::vault_key_unknown:
      return "vault_key_unknown";
    case Reason::keys_unavailable:
      return "keys_unavailable";
    case Reason::introspection_unavailable:
      return "introspection_unavailable";
    case Reason::overloaded:
      return "overloaded";
  }
  return "unknown";
}

// The vault's faults are ours: a new token would not help.
bool is_transient(Reason reason) {
  return reason == Reason::keys_unavailable || reason == Reason::introspection_unavailable ||
         reason == Reason::overloaded || reason == Reason::vault_record_invalid ||
         reason == Reason::vault_key_unknown;
}

bool is_about_proof(Reason reason) {
  switch (reason) {
    case Reason::proof_required:
    case Reason::bad_proof:
    case Reason::proof_of_another_request:
    case Reason::proof_outdated:
    case Reason::nonce_required:
    case Reason::proof_of_another_key:
    case Reason::proof_replayed:
      return true;
    default:
      return false;
  }
}

}  // namespace kubiya::identity
