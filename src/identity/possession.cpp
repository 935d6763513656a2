// SPDX-License-Identifier: Apache-2.0
#include "identity/possession.h"

#include <utility>

namespace kubiya::identity {

Possession possession_of(const Presented& presented, const Credential& credential) {
  Possession out;
  out.dpop_scheme = credential.dpop;
  out.look_only = presented.look_only;
  out.proof_taken = presented.proof_taken;
  if (presented.request == nullptr) return out;
  out.proofs = presented.request->count("dpop");
  out.proof = presented.request->header("dpop");
  out.method = presented.request->method;
  out.path = presented.request->path;
  out.certificate = presented.request->certificate;
  return out;
}

KeptPossession::KeptPossession(const Possession& shown)
    : shown_(shown),
      proof_(shown.proof),
      method_(shown.method),
      path_(shown.path),
      certificate_(shown.certificate) {}

Possession KeptPossession::view() const {
  Possession out = shown_;
  out.proof = proof_;
  out.method = method_;
  out.path = path_;
  out.certificate = certificate_;
  return out;
}

// A proof made at the far end of the window is good until its other end.
PossessionJudge::PossessionJudge(DpopOptions options, std::size_t issuers, const Clock& clock)
    : options_(std::move(options)), clock_(clock) {
  for (std::size_t i = 0; i < issuers; ++i) {
    served_.emplace_back(options_.proofs, 2 * options_.window + std::chrono::seconds(1));
  }
}

Checked<void> PossessionJudge::check(const Confirmation* bound, std::string_view token,
                                     const Possession& shown, std::size_t issuer) {
  const bool to_key = bound != nullptr && !bound->key.empty();
  if (shown.dpop_scheme && !to_key) {
    return fail(Reason::token_not_bound, "it came under the scheme DPoP");
  }
  if (bound == nullptr) return {};
  if (!bound->certificate.empty()) {
    if (shown.certificate.empty()) return fail(Reason::certificate_required);
    if (crypto::view(crypto::sha256(shown.certificate)) != bound->certificate) {
      return fail(Reason::wrong_certificate);
    }
  }
  ASSERT(issuer < served_.size(), "an issuer we know");
  return to_key ? check_key(*bound, token, shown, served_[issuer]) : Checked<void>();
}

std::string PossessionJudge::nonce() const {
  return options_.nonces ? nonces_.current(clock_.wall()) : std::string();
}

Checked<void> PossessionJudge::check_key(const Confirmation& bound, std::string_view token,
                                         const Possession& shown, ReplayGuard& served) {
  if (options_.algorithms.empty()) {
    return fail(Reason::unsupported_confirmation, "identity.dpop.algorithms is empty");
  }
  if (!shown.dpop_scheme) return fail(Reason::proof_required, "it came under the scheme Bearer");
  if (shown.proofs == 0) return fail(Reason::proof_required, "there is no DPoP header");
  if (shown.proofs > 1) return fail(Reason::bad_proof, "several DPoP headers");
  const std::string target = options_.origin + std::string(shown.path);
  const ProofMarks proof = TRY(
      check_proof(shown.proof, options_, {shown.method, target, token, bound.key}, clock_.wall()));
  if (options_.nonces && !nonces_.accepts(proof.nonce, clock_.wall())) {
    return fail(Reason::nonce_required);
  }
  if (shown.proof_taken) return {};
  switch (served.take(proof.id, bound.key, shown.look_only, clock_.mono())) {
    case ReplayGuard::Answer::fresh:
      return {};
    case ReplayGuard::Answer::seen:
      return fail(Reason::proof_replayed);
    case ReplayGuard::Answer::full:
      break;
  }
  return fail(Reason::overloaded, "too many proofs are remembered: identity.dpop.proofs");
}

}  // namespace kubiya::identity
