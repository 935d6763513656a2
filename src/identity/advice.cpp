// SPDX-License-Identifier: Apache-2.0
#include "identity/advice.h"

#include <algorithm>
#include <array>

namespace kubiya::identity {
namespace {

struct Named {
  std::string_view name;
  Advice advice;
};

// Good credentials that the policy refuses (policy::Refusal).
constexpr std::array<Named, 2> kOfPolicy{{
    {"insufficient_scope",
     {"The caller is known, and lacks scopes that the operation, the server or the issuer asks "
      "for.",
      "Look which scopes are missing. Have the client ask for them, and the provider grant them; "
      "compare the names byte for byte (`workflows:execute` and `execute` mean the same here). "
      "Where the provider has roles or groups instead, map them with role_map or scope_map. Scopes "
      "of an API key limit those of the token that carries it."}},
    {"no_api_key",
     {"The token is good and leads to no Kubiya API key, which the operation acts with.",
      "Have the provider put the person's own key into the claim kubiya_api_key (or api_key, or "
      "metadata.kubiya_api_key) of the access token, not of the ID token, and sign in again. "
      "key_claims names other places."}},
}};

constexpr Reason kFirst = Reason::no_credential;
constexpr Reason kLast = Reason::overloaded;

}  // namespace

Advice advice(Reason reason) {
  switch (reason) {
    case Reason::no_credential:
      return {
          "Nothing that could be a credential was sent.",
          "Send the header `Authorization: Bearer TOKEN`; in API-key mode also X-API-Key or the "
          "tool's api_key argument. KUBIYA_API_KEY of the server counts only for callers on the "
          "same machine that come through no proxy. A proxy in front may drop the header."};
    case Reason::bad_authorization_header:
      return {"The Authorization header is there and cannot be read.",
              "Send the word Bearer, one space and the token, without quotes or line breaks. Basic "
              "and other schemes are not taken."};
    case Reason::several_credentials:
      return {"The request carries more than one credential.",
              "Send exactly one: one Authorization header, or one X-API-Key, or one api_key "
              "argument. A gateway that adds its own header beside the client's causes this too."};
    case Reason::credential_in_query:
      return {"The URL carries access_token or api_key.",
              "Send the credential in the Authorization header. Renew the one that was in the URL: "
              "logs along the way have it."};
    case Reason::argument_key_refused:
      return {"An API key was sent where callers must sign in.",
              "Send an access token of the provider. With an auth server configured, keys in "
              "X-API-Key or the api_key argument would replace the person who signed in, so they "
              "are refused; in API-key mode allow_key_argument turns the argument on."};
    case Reason::opaque_token:
      return {"The provider gave out a token that it alone can read.",
              "Ask for a token for this server: Auth0 wants audience=, Google wants an ID token "
              "sent. Where the provider's tokens are opaque by design, configure tokens: opaque "
              "with introspection."};
    case Reason::token_too_long:
      return {"The token is longer than 8 KiB.",
              "Take claims out of it: groups and roles are what mostly grows. Assign groups to the "
              "application instead of putting all of them into the token."};
    case Reason::not_three_parts:
      return {"The text is no signed token (JWS): it has not three parts with dots between.",
              "Look what the client sends. An API key goes where no auth server is configured; an "
              "opaque token needs tokens: opaque with introspection; five parts are an encrypted "
              "token, which the provider must be told not to make."};
    case Reason::bad_base64:
      return {
          "A part of the token is not base64url.",
          "The token was changed on its way: line breaks, padding or URL escapes. Copy it again "
          "as the provider gave it."};
    case Reason::bad_header_json:
      return {"The token's header is not the JSON object that it must be.",
              "Take the token from the provider again; a hand-made one must have strict JSON "
              "without duplicate members."};
    case Reason::bad_claims_json:
      return {"The token's claims are not a JSON object, or too many.",
              "Take the token from the provider again; it may hold 64 claims, nested 8 deep."};
    case Reason::bad_algorithm:
      return {"The token is signed with an algorithm that this issuer may not use.",
              "Set the provider to RS256 or ES256, or list what it uses in algorithms. `none` and "
              "HS256 are never taken: with them anybody could make tokens."};
    case Reason::critical_header:
      return {"The token's header asks for an extension (crit, b64 or zip) that is not supported.",
              "Have the provider issue plain JWTs."};
    case Reason::wrong_token_type:
      return {
          "The token's header says that it is another kind of token.",
          "Send the access token, not the ID, refresh or logout token. With require_at_jwt, the "
          "provider must write typ: at+jwt (RFC 9068)."};
    case Reason::bad_key_id:
      return {"The token does not say in a usable way which key signed it.",
              "The provider publishes several keys, so its tokens must name theirs in kid, as 1 to "
              "128 visible characters."};
    case Reason::unknown_key:
      return {"The token names a signing key that the issuer does not publish.",
              "Compare kid with the document at jwks_uri. Right after a rotation, wait for "
              "refetch_min (30 s) or publish the new key before using it. Otherwise the token is "
              "of another environment of the same name."};
    case Reason::key_mismatch:
      return {"The key that the token names is not for the token's algorithm.",
              "Look at alg, kty and crv of that key in the key set: the provider's key and its "
              "tokens must use the same algorithm. At Entra, a tenant's own key signs for that "
              "tenant only."};
    case Reason::bad_signature:
      return {
          "The signature does not fit: the token was changed, or another key of that name "
          "signed it.",
          "Sign in again. If it stays, the key set at jwks_uri is not of the server that signs: "
          "compare the issuer's URL and the environment (staging, production). A token that "
          "somebody edited ends here too."};
    case Reason::wrong_issuer:
      return {"The token's `iss` is none of the configured issuers.",
              "Compare `iss` with the configured URL byte for byte: a slash at the end, http "
              "instead of https, another tenant or host make another issuer. `kubiya-mcp doctor "
              "URL` prints the right spelling."};
    case Reason::wrong_audience:
      return {
          "The token is for somebody else: its `aud` does not name this server.",
          "Have the client ask for this server (resource=, or audience= at Auth0) or the "
          "provider add it (an audience mapper in Keycloak, the authorization server's audience "
          "in Okta). Where the provider has a fixed audience, list it in audience."};
    case Reason::token_expired:
      return {"The token has run out.",
              "Get a new one: clients do that by themselves when they have a refresh token. If new "
              "tokens are expired at once, compare the clocks: `kubiya-mcp doctor` shows the "
              "difference to the provider's."};
    case Reason::token_not_yet_valid:
      return {"The token is valid only later (nbf).",
              "Compare the clocks of this machine and the provider; 30 s are tolerated (leeway)."};
    case Reason::issued_in_future:
      return {"The token says that it was issued in the future (iat).",
              "Compare the clocks of this machine and the provider; 30 s are tolerated (leeway)."};
    case Reason::lifetime_too_long:
      return {"The token lives longer than this server accepts.",
              "Shorten the life of access tokens at the provider (an hour is usual), or raise "
              "lifetime_max (24 h)."};
    case Reason::bad_claim:
      return {"A claim is missing, of the wrong type, or not what the configuration demands.",
              "The detail names the claim. Have the provider put it into the access token, or "
              "change required_claims, scope_claims or key_claims."};
    case Reason::bad_subject:
      return {"The token does not say who the caller is.",
              "It needs sub as text. Tokens of machines may lack it: name another claim in "
              "subject_claims. Entra's tokens must have oid."};
    case Reason::unsupported_confirmation:
      return {
          "The token is bound in a way that this server cannot check.",
          "Bind it by DPoP (`cnf.jkt`) or a client certificate (`cnf.x5t#S256`), or not at all; "
          "identity.dpop.algorithms must not be empty for DPoP."};
    case Reason::person_cut_off:
      return {
          "The person was cut off on this server, or the credential is older than the end of "
          "that.",
          "`kubiya-mcp cut-off --list` shows since when and why; `kubiya-mcp cut-off SUBJECT "
          "--lift` lets them in again, with a token that was issued afterwards."};
    case Reason::token_not_bound:
      return {"The token is bound to no key, and came as if it were or where it must be.",
              "Have the client ask the provider for a DPoP-bound token, or send it with the scheme "
              "Bearer where dpop_bound_access_tokens_required is off."};
    case Reason::proof_required:
      return {"The token is bound to a key, and no proof of holding it came along.",
              "The client must send `Authorization: DPoP TOKEN` with a DPoP header of its own for "
              "each request. A proxy in between must keep that header. A client that cannot needs "
              "plain bearer tokens from the provider."};
    case Reason::bad_proof:
      return {"The DPoP proof cannot be read, or its signature is wrong.",
              "The detail says what is wrong with it. Its algorithm must be one of "
              "identity.dpop.algorithms, and there must be one DPoP header."};
    case Reason::proof_of_another_request:
      return {
          "The DPoP proof was made for another method, address or token.",
          "Its `htu` must be the address that this server knows itself by: set public_url when a "
          "proxy stands in front. Each request needs a proof of its own."};
    case Reason::proof_outdated:
      return {"The DPoP proof's time is too far from this server's clock.",
              "Set the clocks of client and server; identity.dpop.window is the tolerance."};
    case Reason::nonce_required:
      return {"The DPoP proof holds no nonce of this server, or an old one.",
              "Nothing is wrong: the client repeats the request with the nonce of the answer's "
              "DPoP-Nonce header. One that cannot needs identity.dpop.nonces off."};
    case Reason::proof_of_another_key:
      return {
          "The DPoP proof was made with another key than the token is bound to.",
          "The client must use the key with which it asked for the token. Somebody else's token "
          "looks like this too."};
    case Reason::proof_replayed:
      return {"The same DPoP proof has served before.",
              "The client must make a new proof, with a new `jti`, for each request, retries "
              "included. A copied request looks like this too."};
    case Reason::certificate_required:
      return {
          "The token is bound to a client certificate, and the connection shows none.",
          "Turn on server.client_certificates, let the client connect with its certificate, and "
          "let no proxy end TLS in between."};
    case Reason::wrong_certificate:
      return {
          "The connection shows another client certificate than the token is bound to.",
          "Use the certificate with which the token was asked for; after a renewal ask for a new "
          "token. Somebody else's token looks like this too."};
    case Reason::wrong_tenant:
      return {"The caller's tenant is missing or none of those that are served.",
              "Compare tenant_claim and tenants with the token. At Entra, `tid` must be listed and "
              "be the tenant of `iss`."};
    case Reason::group_overage:
      return {
          "The provider left the caller's groups out of the token for their number.",
          "Assign groups to the application, or use app roles. group_overage: ignore serves such "
          "callers without the scopes that groups would have given."};
    case Reason::key_claims_disagree:
      return {
          "Two claims hold two different Kubiya keys.",
          "Remove one at the provider: kubiya_api_key, api_key and metadata.kubiya_api_key must "
          "agree. The detail names the second."};
    case Reason::key_of_another_owner:
      return {"The Kubiya key in the token belongs to another person.",
              "Look at the user's attribute at the provider: somebody's key was copied. The owner "
              "of a key must be the token's sub, in the same tenant (`kubiya-mcp key list`)."};
    case Reason::bad_api_key:
      return {"The text is no Kubiya key, or one with a typing error.",
              "Keys are kb- and 61 letters and digits with a checksum: copy it again."};
    case Reason::unknown_api_key:
      return {"The key is well-formed and this installation has never made it.",
              "It may be of another installation or data directory. `kubiya-mcp key list` shows "
              "those of this one, `key create` makes a new one."};
    case Reason::revoked_api_key:
      return {"The key was revoked.",
              "Make a new one with `kubiya-mcp key create`; `audit list` shows who revoked it and "
              "when."};
    case Reason::expired_api_key:
      return {"The key has run out.", "Make a new one with `kubiya-mcp key create`."};
    case Reason::key_reference_unknown:
      return {"The token names a key that the vault does not keep.",
              "Add it with `kubiya-mcp vault set --reference NAME`, or correct the claim at the "
              "issuer: auth.key_reference_claims says which it is."};
    case Reason::vault_record_invalid:
      return {"The vault's entry for the caller was changed, or is another's.",
              "Find out who wrote to the database; then set the key again with `kubiya-mcp vault "
              "set`."};
    case Reason::vault_key_unknown:
      return {"No vault key here opens the entry that is kept for the caller.",
              "Restore vault.key, or name the key it was sealed with as vault.previous_key, or set "
              "the person's key again."};
    case Reason::token_inactive:
      return {
          "The issuer, asked about the token, says that it is not active.",
          "Sign in again: it has expired or was revoked, or was issued for another environment. "
          "Some providers answer so when this server's client may not ask about the token: "
          "look at introspection.client_id there."};
    case Reason::keys_unavailable:
      return {"The issuer's keys cannot be had, so no token of it can be checked.",
              "`/readyz` on this machine says what failed, `kubiya-mcp doctor` tries it step by "
              "step. Tokens stay good: retry."};
    case Reason::introspection_unavailable:
      return {"The issuer cannot be asked about the token.",
              "Look at introspection.url, client_id and client_secret: 401 means that the issuer "
              "does not know this server. `kubiya-mcp doctor` tries the endpoint. Retry later."};
    case Reason::overloaded:
      return {"Too many credentials wait to be checked.",
              "Retry after the time in Retry-After. If it lasts, the provider answers slowly: "
              "`/readyz` and `kubiya-mcp doctor` show it."};
  }
  return {};
}

Advice advice_for(std::string_view reason) {
  for (auto i = static_cast<int>(kFirst); i <= static_cast<int>(kLast); ++i) {
    if (to_string(static_cast<Reason>(i)) == reason) return advice(static_cast<Reason>(i));
  }
  const auto named = [reason](const Named& one) { return one.name == reason; };
  const auto at = std::find_if(kOfPolicy.begin(), kOfPolicy.end(), named);
  return at == kOfPolicy.end() ? Advice{} : at->advice;
}

std::vector<std::string_view> known_reasons() {
  std::vector<std::string_view> out;
  for (auto i = static_cast<int>(kFirst); i <= static_cast<int>(kLast); ++i) {
    out.push_back(to_string(static_cast<Reason>(i)));
  }
  for (const Named& one : kOfPolicy) out.push_back(one.name);
  return out;
}

}  // namespace kubiya::identity
