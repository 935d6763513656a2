// SPDX-License-Identifier: Apache-2.0
//
// The MCP endpoint: one request from header to answer. endpoint.cpp tells the story
//   credential → principal → message → permit → ticket → effect → outcome → answer
// and nothing else; each stop is one function.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "audit/journal.h"
#include "base/clock.h"
#include "base/worker_pool.h"
#include "http/message.h"
#include "identity/authenticator.h"
#include "identity/metadata.h"
#include "mcp/answer.h"
#include "mcp/exchange.h"
#include "mcp/refusal.h"
#include "mcp/request_log.h"
#include "policy/policy.h"
#include "tools/registry.h"

namespace kubiya::mcp {

struct EndpointOptions {
  ServerInfo info;
  std::string mcp_path = "/mcp";
  identity::ResourceInfo resource;           // for the metadata documents
  std::string scope_prefix;                  // of the scopes in challenges
  std::size_t early_body_bytes = 64 * 1024;  // body parsed before a credential, API-key mode
  std::size_t calls_in_flight = 4'096;       // mutating calls; beyond: 429
  RequestLogging logging = RequestLogging::all;
  int loops = 1;
};

// Whether the server can do its work, and the JSON that says why not.
struct Readiness {
  bool ready = true;
  std::string json_text;
};

// All references outlive the endpoint.
struct EndpointServices {
  identity::Authenticator& authenticator;
  const policy::Policy& policy;
  audit::Journal& journal;
  const tools::Registry& registry;
  WorkerPool& workers;
  const Clock& clock;
  std::function<Readiness()> readiness;
};

class Endpoint final : public http::Handler {
 public:
  Endpoint(EndpointOptions options, EndpointServices services);

  void handle(const http::Request& request, http::Responder responder) override;
  void admit(const http::Request& head, Admission decide) override;
  // About four times a second on each loop.
  void sweep(int loop);
  // Hands over what the loops have gathered for the log, once they have ended.
  void flush();

 private:
  // The stops, in order.
  void begin(const ExchangePtr& x);
  void authenticate(const ExchangePtr& x, std::string_view argument_key);
  void authenticated(const ExchangePtr& x, identity::Verdict verdict,
                     std::string_view argument_key);
  bool receive(const ExchangePtr& x);
  void dispatch(const ExchangePtr& x);
  void handshake(const ExchangePtr& x, const std::string& result);
  void call_tool(const ExchangePtr& x);
  void read(const ExchangePtr& x, const tools::Tool& tool, policy::Permit permit,
            json::object arguments);
  void mutate(const ExchangePtr& x, const tools::Tool& tool, policy::Permit permit,
              json::object arguments);
  void answer_call(const ExchangePtr& x, const Result<tools::ToolResult>& result);

  // The side roads.
  void refuse_credential(const ExchangePtr& x, const identity::Refused& refused);
  void record_credential(const Exchange& x, const identity::Refused& refused, int status);
  void refuse_denied(const ExchangePtr& x, const policy::Operation& operation,
                     const policy::Denied& denied);
  void refuse_message(const ExchangePtr& x, const ProtocolError& error, std::string_view reason);
  void refuse_arguments(const ExchangePtr& x, std::string_view reason, const std::string& message);
  void document(const ExchangePtr& x, const std::string& body, std::string_view cache);
  void identify(const ExchangePtr& x);
  void send(const ExchangePtr& x, http::Response response, std::string_view reason);

  audit::Intent intent(const Exchange& x, const tools::Tool& tool,
                       const json::object& arguments) const;
  audit::RefusedCall refusal(const Exchange& x, std::string_view reason, int status) const;
  void describe_asked(audit::RefusedCall& call, const Exchange& x) const;
  identity::Presented presented(const http::Request& request, const Headers& headers,
                                std::string_view argument_key) const;
  bool is_open_method(std::string_view method) const;
  std::string next_request_id(int loop);

  // Work for a loop from a thread that has no connection of it: done with the next sweep.
  struct Mailbox {
    std::mutex mutex;
    std::vector<std::function<void()>> work;
  };
  struct alignas(64) PerLoop {
    std::string id_prefix;
    std::uint64_t requests = 0;
    std::shared_ptr<Mailbox> mailbox = std::make_shared<Mailbox>();
  };
  void learn(const identity::Presented& presented, int loop);

  EndpointOptions options_;
  EndpointServices services_;
  ChallengeInfo challenge_;
  Results results_;
  RequestLog log_;
  policy::Operation handshake_;
  std::string resource_document_;
  std::string resource_path_;  // "/.well-known/oauth-protected-resource/mcp"
  std::vector<PerLoop> loops_;
  std::atomic<std::size_t> in_flight_{0};
};

}  // namespace kubiya::mcp
