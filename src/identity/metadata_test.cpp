// SPDX-License-Identifier: Apache-2.0
#include "identity/metadata.h"

#include <gtest/gtest.h>

namespace kubiya::identity {
namespace {

constexpr std::string_view kUrl =
    "https://mcp.example.com/.well-known/oauth-protected-resource/mcp";

TEST(Metadata, DocumentHasTheFieldsOfRfc9728) {
  EXPECT_EQ(protected_resource_document({.resource = "https://mcp.example.com/mcp",
                                         .authorization_servers = {"https://idp.example.com"},
                                         .scopes_supported = {"read", "offline_access", "write"},
                                         .name = "Kubiya",
                                         .documentation = "https://docs.example.com",
                                         .dpop_algorithms = {}}),
            R"({"resource":"https://mcp.example.com/mcp",)"
            R"("authorization_servers":["https://idp.example.com"],)"
            R"("scopes_supported":["read","write"],"bearer_methods_supported":["header"],)"
            R"("resource_name":"Kubiya","resource_documentation":"https://docs.example.com"})");
}

TEST(Metadata, DocumentSaysWhichBoundTokensAreTaken) {
  ResourceInfo info;
  info.resource = "https://mcp.example.com/mcp";
  info.authorization_servers = {"https://idp.example.com"};
  info.dpop_algorithms = {"ES256", "EdDSA"};
  info.dpop_required = true;
  info.certificate_bound = true;
  EXPECT_EQ(protected_resource_document(info),
            R"({"resource":"https://mcp.example.com/mcp",)"
            R"("authorization_servers":["https://idp.example.com"],)"
            R"("bearer_methods_supported":["header"],)"
            R"("dpop_signing_alg_values_supported":["ES256","EdDSA"],)"
            R"("dpop_bound_access_tokens_required":true,)"
            R"("tls_client_certificate_bound_access_tokens":true})");
}

TEST(Metadata, DpopChallengesTellWhatIsWrongWithAProof) {
  const Scopes scopes{"read"};
  const std::string tail = "algs=\"ES256\", resource_metadata=\"u\", scope=\"read\"";
  const auto told = [&](Reason reason, bool used) {
    return dpop_challenge_unauthenticated("u", scopes, reason, "ES256", used);
  };
  EXPECT_EQ(told(Reason::proof_required, false), "DPoP " + tail) << "to who came as a bearer";
  EXPECT_EQ(told(Reason::nonce_required, true),
            "DPoP error=\"use_dpop_nonce\", "
            "error_description=\"the proof needs the nonce of DPoP-Nonce\", " +
                tail);
  EXPECT_EQ(told(Reason::bad_signature, true),
            "DPoP error=\"invalid_token\", error_description=\"token invalid\", " + tail);
  for (const Reason reason :
       {Reason::proof_required, Reason::bad_proof, Reason::proof_of_another_request,
        Reason::proof_outdated, Reason::proof_of_another_key, Reason::proof_replayed}) {
    EXPECT_EQ(told(reason, true),
              "DPoP error=\"invalid_dpop_proof\", "
              "error_description=\"proof missing or invalid\", " +
                  tail)
        << to_string(reason);
  }
  EXPECT_EQ(dpop_challenge_insufficient_scope("u", Scopes{"write"}, "ES256"),
            "DPoP error=\"insufficient_scope\", scope=\"write\", algs=\"ES256\", "
            "resource_metadata=\"u\"");
}

TEST(Metadata, UrlPutsTheWellKnownPathInFrontOfTheResourcePath) {
  EXPECT_EQ(metadata_url("https://mcp.example.com/mcp"), kUrl);
  EXPECT_EQ(metadata_url("http://localhost:8000/a/b"),
            "http://localhost:8000/.well-known/oauth-protected-resource/a/b");
  EXPECT_EQ(metadata_url("https://mcp.example.com"),
            "https://mcp.example.com/.well-known/oauth-protected-resource");
  EXPECT_EQ(metadata_url("https://mcp.example.com/"),
            "https://mcp.example.com/.well-known/oauth-protected-resource");
}

TEST(Metadata, ChallengesAreTheOnesOfTheCatalogue) {
  const Scopes scopes{"read", "execute", "offline_access"};
  const std::string tail =
      "resource_metadata=\"" + std::string(kUrl) + "\", scope=\"execute read\"";
  struct Row {
    const char* name;
    Reason reason;
    int status;
    std::string challenge;
  };
  for (const Row& row : std::vector<Row>{
           {"401N", Reason::no_credential, 401, "Bearer " + tail},
           {"401T expired", Reason::token_expired, 401,
            "Bearer error=\"invalid_token\", error_description=\"token expired\", " + tail},
           {"401T", Reason::bad_signature, 401,
            "Bearer error=\"invalid_token\", error_description=\"token invalid\", " + tail},
           {"400A header", Reason::bad_authorization_header, 400,
            "Bearer error=\"invalid_request\", " + tail},
           {"400A several", Reason::several_credentials, 400,
            "Bearer error=\"invalid_request\", " + tail},
           {"400A query", Reason::credential_in_query, 400,
            "Bearer error=\"invalid_request\", " + tail},
       }) {
    EXPECT_EQ(challenge_unauthenticated(kUrl, scopes, row.reason), row.challenge) << row.name;
    EXPECT_EQ(http_status(row.reason), row.status) << row.name;
  }
  EXPECT_EQ(challenge_insufficient_scope(kUrl, Scopes{"write", "read"}),
            "Bearer error=\"insufficient_scope\", scope=\"read write\", resource_metadata=\"" +
                std::string(kUrl) + "\"");
}

TEST(Metadata, EveryRefusedTokenButAnExpiredOneLooksTheSame) {
  const auto first = static_cast<int>(Reason::token_too_long);
  const auto last = static_cast<int>(Reason::key_reference_unknown);
  const std::string same = challenge_unauthenticated(kUrl, {}, Reason::bad_signature);
  for (int i = first; i <= last; ++i) {
    const auto reason = static_cast<Reason>(i);
    EXPECT_EQ(http_status(reason), 401) << to_string(reason);
    EXPECT_EQ(public_message(reason), "Invalid token") << to_string(reason);
    if (reason == Reason::token_expired) continue;
    EXPECT_EQ(challenge_unauthenticated(kUrl, {}, reason), same) << to_string(reason);
  }
}

TEST(Metadata, OutagesAreNotTheTokensFault) {
  EXPECT_EQ(http_status(Reason::keys_unavailable), 503);
  EXPECT_EQ(http_status(Reason::overloaded), 503);
  EXPECT_EQ(http_status(Reason::vault_record_invalid), 503);
  EXPECT_EQ(http_status(Reason::vault_key_unknown), 503);
  EXPECT_EQ(public_message(Reason::no_credential), "No API token provided");
}

TEST(Metadata, NothingEscapesFromAQuotedString) {
  EXPECT_EQ(challenge_insufficient_scope("https://x/\"\\\r\nSet-Cookie: a", {}),
            "Bearer error=\"insufficient_scope\", "
            "resource_metadata=\"https://x/\\\"\\\\??Set-Cookie: a\"");
}

TEST(Metadata, ChallengeHasAParameterEvenWhenThereIsNothingToSay) {
  EXPECT_EQ(challenge_unauthenticated("", {}, Reason::no_credential),
            "Bearer realm=\"kubiya-mcp\"");
}

}  // namespace
}  // namespace kubiya::identity
