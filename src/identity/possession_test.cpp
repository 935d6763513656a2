// SPDX-License-Identifier: Apache-2.0
#include "identity/possession.h"

#include <gtest/gtest.h>

#include "identity/authenticator_fixture.h"
#include "identity/dpop_fixture.h"

namespace kubiya::identity {
namespace test {
namespace {

using namespace std::chrono_literals;

// A request with what shows that the token is its sender's.
struct Shown {
  std::string scheme = "DPoP";
  std::vector<std::string> proofs = {};
  std::string certificate = {};
  bool look_only = false;
  bool proof_taken = false;
};

json::object bound_to_key() {
  return {{"cnf", json::object{{"jkt", base64url(thumbprint_bytes())}}}};
}
json::object bound_to_certificate(std::string_view der) {
  const std::string digest = base64url(crypto::view(crypto::sha256(der)));
  return {{"cnf", json::object{{"x5t#S256", digest}}}};
}

class BoundTokens : public ::testing::Test {
 protected:
  void open() {
    publish(world.client);
    world.options.dpop.origin = "https://mcp.example";
    world.open_tokens();
  }
  std::string judged(const std::string& token, const Shown& shown) {
    const std::string authorization = shown.scheme + " " + token;
    std::vector<http::Header> headers;
    headers.reserve(shown.proofs.size());
    for (const std::string& proof : shown.proofs) headers.push_back({"DPoP", proof});
    http::Request request;
    request.method = "POST";
    request.path = "/mcp";
    request.headers = headers;
    request.certificate = shown.certificate;
    Presented presented = bearer(authorization);
    presented.request = &request;
    presented.look_only = shown.look_only;
    presented.proof_taken = shown.proof_taken;
    world.authenticator->turn(0);
    if (waits) return judged_later(presented);
    return outcome(world.now(presented));
  }
  // By way of the queue, when the request itself is gone.
  std::string judged_later(Presented presented) {
    std::vector<std::string> outcomes;
    world.authenticator->later(
        presented, 0,
        [this](std::function<void()> work) { world.posted.push_back(std::move(work)); },
        [&](Verdict verdict) { outcomes.push_back(outcome(verdict)); });
    world.run_all();
    return outcomes.size() == 1 ? outcomes[0] : "none";
  }
  std::string fresh(const std::string& token) {
    json::object claims = proof_claims(token, std::to_string(++proofs));
    claims["iat"] =
        kNow +
        std::chrono::duration_cast<std::chrono::seconds>(world.clock.wall() - at(kNow)).count();
    return proof_of(proof_header(), claims);
  }

  World world;
  bool waits = false;
  int proofs = 0;
};

TEST_F(BoundTokens, AreServedWithAFreshProofEachTime) {
  open();
  const std::string token = claims_token(bound_to_key());
  for (int i = 0; i < 5; ++i) EXPECT_EQ(judged(token, {.proofs = {fresh(token)}}), "served");
  EXPECT_EQ(judged(token, {.scheme = "dpop", .proofs = {fresh(token)}}), "served");
}

TEST_F(BoundTokens, AreNeverTakenFromABearerCachedOrNot) {
  open();
  const std::string token = claims_token(bound_to_key());
  EXPECT_EQ(judged(token, {.scheme = "Bearer"}), "proof_required") << "before it is known";
  EXPECT_EQ(judged(token, {.proofs = {fresh(token)}}), "served");
  EXPECT_EQ(judged(token, {.scheme = "Bearer"}), "proof_required") << "once it is remembered";
  EXPECT_EQ(judged(token, {.scheme = "Bearer", .proofs = {fresh(token)}}), "proof_required");
  EXPECT_EQ(outcome(world.token(token)), "proof_required") << "without any request to look at";
  waits = true;
  EXPECT_EQ(judged(token, {.scheme = "Bearer"}), "proof_required");
}

TEST_F(BoundTokens, NeedOneProofThatIsGood) {
  open();
  const std::string token = claims_token(bound_to_key());
  const std::string other = claims_token({{"sub", "bob"}});
  for (int round = 0; round < 2; ++round) {
    EXPECT_EQ(judged(token, {}), "proof_required");
    EXPECT_EQ(judged(token, {.proofs = {fresh(token), fresh(token)}}), "bad_proof");
    EXPECT_EQ(judged(token, {.proofs = {"x.y.z"}}), "bad_proof");
    EXPECT_EQ(judged(token, {.proofs = {fresh(other)}}), "proof_of_another_request");
    EXPECT_EQ(judged(token, {.proofs = {fresh(token)}}), "served") << "and is remembered";
  }
}

TEST_F(BoundTokens, AProofServesOnce) {
  open();
  const std::string token = claims_token(bound_to_key());
  const std::string proof = fresh(token);
  EXPECT_EQ(judged(token, {.proofs = {proof}, .look_only = true}), "served");
  EXPECT_EQ(judged(token, {.proofs = {proof}}), "served") << "a look does not use it up";
  EXPECT_EQ(judged(token, {.proofs = {proof}}), "proof_replayed");
  EXPECT_EQ(judged(token, {.proofs = {proof}, .proof_taken = true}), "served")
      << "by the same request";
  world.clock.advance(59s);
  EXPECT_EQ(judged(token, {.proofs = {proof}}), "proof_replayed");
  world.clock.advance(2s);
  EXPECT_EQ(judged(token, {.proofs = {proof}}), "proof_outdated");
  waits = true;
  const std::string next = fresh(token);
  EXPECT_EQ(judged(token, {.proofs = {next}}), "served");
  EXPECT_EQ(judged(token, {.proofs = {next}}), "proof_replayed");
}

TEST_F(BoundTokens, WaitForATurnLikeSignatures) {
  world.options.cold_per_turn = 1;
  open();
  const std::string token = claims_token(bound_to_key());
  EXPECT_EQ(judged(token, {.proofs = {fresh(token)}}), "served");
  const std::string header = "DPoP " + token;
  EXPECT_EQ(outcome(world.now(bearer(header))), "not yet") << "a proof is a signature to check";
}

TEST_F(BoundTokens, AreRefusedWhereProofsAreOff) {
  world.options.dpop.algorithms.clear();
  open();
  const std::string token = claims_token(bound_to_key());
  EXPECT_EQ(judged(token, {.proofs = {fresh(token)}}), "unsupported_confirmation");
}

TEST_F(BoundTokens, NonceIsAskedForWhereConfigured) {
  world.options.dpop.nonces = true;
  open();
  const std::string token = claims_token(bound_to_key());
  EXPECT_EQ(judged(token, {.proofs = {fresh(token)}}), "nonce_required");
  json::object claims = proof_claims(token, "with nonce");
  claims["nonce"] = world.authenticator->proof_nonce();
  EXPECT_EQ(judged(token, {.proofs = {proof_of(proof_header(), claims)}}), "served");
  claims["jti"] = "with an old one";
  claims["nonce"] = ProofNonces().current(at(kNow));
  EXPECT_EQ(judged(token, {.proofs = {proof_of(proof_header(), claims)}}), "nonce_required");
}

TEST_F(BoundTokens, OfACertificateNeedThatCertificate) {
  open();
  const std::string token = claims_token(bound_to_certificate("the certificate"));
  for (int round = 0; round < 2; ++round) {
    EXPECT_EQ(judged(token, {.scheme = "Bearer"}), "certificate_required");
    EXPECT_EQ(judged(token, {.scheme = "Bearer", .certificate = "another one"}),
              "wrong_certificate");
    EXPECT_EQ(judged(token, {.scheme = "Bearer", .certificate = "the certificate"}), "served");
    waits = true;
  }
}

TEST_F(BoundTokens, OfBothNeedBoth) {
  open();
  json::object cnf = bound_to_certificate("the certificate")["cnf"].as_object();
  cnf["jkt"] = base64url(thumbprint_bytes());
  const std::string token = claims_token({{"cnf", cnf}});
  EXPECT_EQ(judged(token, {.proofs = {fresh(token)}}), "certificate_required");
  EXPECT_EQ(judged(token, {.scheme = "Bearer", .certificate = "the certificate"}),
            "proof_required");
  EXPECT_EQ(judged(token, {.proofs = {fresh(token)}, .certificate = "the certificate"}), "served");
}

TEST_F(BoundTokens, AreToldFromThoseOfABearer) {
  open();
  const std::string token = claims_token({{"sub", "bob"}});
  EXPECT_EQ(judged(token, {.scheme = "Bearer"}), "served");
  EXPECT_EQ(judged(token, {.scheme = "Bearer", .certificate = "any"}), "served");
  EXPECT_EQ(judged(token, {.proofs = {fresh(token)}}), "token_not_bound");
  waits = true;
  EXPECT_EQ(judged(token, {.proofs = {fresh(token)}}), "token_not_bound");
}

TEST_F(BoundTokens, MayBeAskedForByTheIssuer) {
  publish(world.client);
  world.options.dpop.origin = "https://mcp.example";
  IssuerOptions issuer = issuer_options();
  issuer.rules.require_dpop = true;
  world.open_tokens({issuer});
  const std::string token = claims_token(bound_to_key());
  EXPECT_EQ(judged(token, {.proofs = {fresh(token)}}), "served");
  EXPECT_EQ(judged(claims_token({{"sub", "bob"}}), {.scheme = "Bearer"}), "token_not_bound");
  const std::string certified = claims_token(bound_to_certificate("c"));
  EXPECT_EQ(judged(certified, {.scheme = "Bearer", .certificate = "c"}), "token_not_bound");
}

TEST(ReplayGuard, ForgetsInTimeAndRefusesWhenFull) {
  ReplayGuard guard(16, 10s);
  const Mono start{1h};
  const auto digest = [](int number) { return crypto::sha256(std::to_string(number)); };
  const auto take = [&](int number, int key, Mono now) {
    return guard.take(digest(number), crypto::view(digest(-key)), false, now);
  };
  EXPECT_EQ(take(1, 1, start), ReplayGuard::Answer::fresh);
  EXPECT_EQ(take(1, 1, start + 9s), ReplayGuard::Answer::seen);
  EXPECT_EQ(take(1, 1, start + 10s), ReplayGuard::Answer::fresh);
  // A client's share is an eighth, so that one cannot shut out the others.
  EXPECT_EQ(take(2, 1, start + 10s), ReplayGuard::Answer::fresh);
  EXPECT_EQ(take(3, 1, start + 10s), ReplayGuard::Answer::full);
  for (int i = 4; i < 18; ++i) EXPECT_EQ(take(i, i, start + 10s), ReplayGuard::Answer::fresh) << i;
  EXPECT_EQ(guard.size(), 16u);
  EXPECT_EQ(take(18, 18, start + 19s), ReplayGuard::Answer::full) << "and forgets nothing for it";
  EXPECT_EQ(take(1, 1, start + 19s), ReplayGuard::Answer::seen);
  EXPECT_EQ(take(18, 18, start + 20s), ReplayGuard::Answer::fresh);
  EXPECT_EQ(guard.size(), 1u);
}

}  // namespace
}  // namespace test
}  // namespace kubiya::identity
