// SPDX-License-Identifier: Apache-2.0
//
// The worked example of docs/audit-format.md, computed again.
#include <gtest/gtest.h>

#include <fstream>
#include <iterator>

#include "audit/checkpoint.h"
#include "audit/record.h"
#include "audit/tree.h"
#include "base/encoding.h"

namespace kubiya::audit {
namespace {

NoteSigner example_signer() {
  std::string der = *unhex("302e020100300506032b657004220420");
  for (int i = 0; i < 32; ++i) der += static_cast<char>(i);
  auto key = crypto::PrivateKey::from_pem("-----BEGIN PRIVATE KEY-----\n" + base64(der) +
                                          "\n-----END PRIVATE KEY-----\n");
  return NoteSigner("example.com/audit", *key);
}

std::string example() {
  Record created;
  created.time = "2026-11-22T22:51:00.000Z";
  created.kind = "event";
  created.event = "journal_created";
  Record intent;
  intent.time = "2026-11-22T22:51:07.250Z";
  intent.kind = "intent";
  intent.request_id = "req-1";
  intent.tenant = "acme";
  intent.subject = "ada";
  intent.operation = "execute_workflow";
  intent.target = "deploy";
  intent.args = argument_digest("digest key of the example", {{"name", "deploy"}});
  intent.decision = "allowed";

  const std::string first = record_line(0, 0, Hash{}, record_body(created));
  const std::string second = record_line(1, 1, leaf_hash(first), record_body(intent));
  Frontier tree;
  tree.append(leaf_hash(first));
  tree.append(leaf_hash(second));
  const NoteSigner signer = example_signer();
  return "```\n" + first + "\n" + second + "\n```\n\nLeaf hashes " +
         hex(crypto::view(leaf_hash(first))) + " and\n" + hex(crypto::view(leaf_hash(second))) +
         ", root " + hex(crypto::view(tree.root())) + ".\n`args` is under the key " +
         "`digest key of the example`. The checkpoint, and `audit.pub`:\n\n```\n" +
         *signer.sign({"example.com/audit", 2, tree.root()}) + "```\n\n```\n" +
         signer.verifier().text() + "\n```\n";
}

TEST(AuditFormat, ItsWorkedExampleIsTrue) {
  std::ifstream in(KUBIYA_SOURCE_DIR "/docs/audit-format.md");
  const std::string page(std::istreambuf_iterator<char>(in), {});
  ASSERT_FALSE(page.empty());
  EXPECT_NE(page.find(example()), std::string::npos) << "the page should read:\n" << example();
}

}  // namespace
}  // namespace kubiya::audit
