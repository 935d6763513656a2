// SPDX-License-Identifier: Apache-2.0
//
// The MCP endpoint: one request from header to answer. endpoint.cpp tells the story
//   credential → principal → message → method
// and endpoint_calls.cpp, for what acts on something,
//   permit → ticket → effect → outcome → answer
// each stop being one function. What is left: the look of answers (endpoint_answers.cpp), calls
// that have to ask (endpoint_rounds.cpp), lists and completion (endpoint_lists.cpp), the
// legacy era's sessions and batches (endpoint_sessions.cpp), the modern era's tasks and
// subscriptions (endpoint_tasks.cpp), pages for people (endpoint_pages.cpp), refusals
// (endpoint_refusals.cpp).
#pragma once

#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <unordered_map>
#include <vector>

#include "audit/journal.h"
#include "base/clock.h"
#include "base/secret.h"
#include "base/worker_pool.h"
#include "http/message.h"
#include "http/peer_budget.h"
#include "identity/authenticator.h"
#include "identity/metadata.h"
#include "mcp/answer.h"
#include "mcp/exchange.h"
#include "mcp/handles.h"
#include "mcp/pages.h"
#include "mcp/places.h"
#include "mcp/refusal.h"
#include "mcp/request_log.h"
#include "mcp/session.h"
#include "mcp/subscriptions.h"
#include "policy/policy.h"
#include "tools/catalogue.h"

namespace kubiya::mcp {

struct EndpointOptions {
  ServerInfo info;
  std::string mcp_path = "/mcp";
  identity::ResourceInfo resource;           // for the metadata documents
  std::string scope_prefix;                  // of the scopes in challenges
  Scopes sign_in_scopes;                     // in place of them; empty: none
  std::size_t early_body_bytes = 64 * 1024;  // body parsed before a credential, API-key mode
  PlaceLimits calls = kCallPlaces;
  PlaceLimits streams = kStreamPlaces;
  SessionLimits sessions;
  std::chrono::seconds answer_patience{600};  // for what a client is asked
  bool list_everything = false;               // tools/list shows what the caller may not use, too
  Secret handle_secret;                       // what cursors and request states are sealed with
  RequestLogging logging = RequestLogging::all;
  unsigned log_strangers_per_second = 50;     // lines of each loop for unverified callers
  unsigned bad_credentials_per_minute = 100;  // of one peer; 0: no bound
  std::size_t bad_credential_peers = 8'192;   // told apart
  int loops = 1;
};

// Whether the server can do its work, and the JSON that says why not: in short for anybody, whole
// for callers on this machine, because it names issuers and their faults.
struct Readiness {
  bool ready = true;
  std::string json_text;
  std::string whole_json_text;
};

// All references outlive the endpoint.
struct EndpointServices {
  identity::Authenticator& authenticator;
  const policy::Policy& policy;
  audit::Journal& journal;
  tools::Catalogue& catalogue;
  WorkerPool& workers;
  const Clock& clock;
  std::function<Readiness()> readiness;
  Pages pages = {};
};

class Endpoint final : public http::Handler {
 public:
  Endpoint(EndpointOptions options, EndpointServices services);
  ~Endpoint() override;

  void handle(const http::Request& request, http::Responder responder) override;
  void admit(const http::Request& head, Admission decide) override;
  // A message that came without HTTP (stdio). `request` holds what the transport settled.
  void handle_line(const http::Request& request, http::Responder responder);
  void refused(const http::Refusal& refusal) override;
  // About four times a second on each loop.
  void sweep(int loop);
  // Tells who listens that this is the end, before the server stops listening itself.
  void close_streams();
  // Hands over what the loops have gathered for the log, once they have ended.
  void flush();

 private:
  // What a call does once it may: `run` is called, and once more with the answers when the
  // client had to be asked; then `finish` once, also when everything in between is dropped.
  struct Errand {
    using Run = std::function<void(const std::shared_ptr<const tools::Call>&, tools::Done)>;
    using Finish = std::function<void(const Result<tools::ToolResult>&)>;
    std::shared_ptr<tools::Call> call;
    Run run;
    Finish finish;
    ~Errand();
    void end(const Result<tools::ToolResult>& result);
  };
  using ErrandPtr = std::shared_ptr<Errand>;

  struct Method {
    std::string_view name;
    bool modern;
    bool legacy;
    void (Endpoint::*serve)(const ExchangePtr&);
    bool Offers::* offer;  // null: always
  };
  static const std::vector<Method>& methods();
  const Method* find_method(const Message& message) const;

  // The stops, in order.
  void begin(const ExchangePtr& x);
  void authenticate(const ExchangePtr& x, std::string_view argument_key);
  void authenticated(const ExchangePtr& x, identity::Verdict verdict,
                     std::string_view argument_key);
  bool receive(const ExchangePtr& x);
  bool understand(const ExchangePtr& x, JsonView body);
  void dispatch(const ExchangePtr& x);

  // endpoint_calls.cpp: what acts on something.
  void call_tool(const ExchangePtr& x);
  void get_prompt(const ExchangePtr& x);
  void read_resource(const ExchangePtr& x);
  const tools::Tool* find_tool(const ExchangePtr& x, std::string_view name) const;
  bool check_arguments(const ExchangePtr& x, const tools::Tool& tool, json::value& arguments);
  void read_at_once(const ExchangePtr& x, const tools::Tool& tool, policy::Permit permit,
                    json::object arguments);
  using Look = std::function<void(const tools::Call&, const audit::Ticket&, tools::Done)>;
  // `target` for the audit record, whose digest is of the arguments that the call has.
  void read(const ExchangePtr& x, std::string target, policy::Permit permit, json::object arguments,
            Look look);
  using Effect = std::function<void(const std::shared_ptr<const tools::Call>&,
                                    const audit::DurableTicket&, tools::Done)>;
  void mutate(const ExchangePtr& x, std::string target, policy::Permit permit,
              json::object arguments, bool always_admitted, Effect effect);
  Result<std::shared_ptr<tools::Call>> make_call(const ExchangePtr& x, policy::Permit permit,
                                                 json::object arguments);
  void reserve_stream(const ExchangePtr& x);
  void pursue(const ExchangePtr& x, const ErrandPtr& errand);
  void concluded(const ExchangePtr& x, const ErrandPtr& errand, Result<tools::ToolResult> result);
  tools::ClientAbilities abilities(const Exchange& x) const;

  // endpoint_answers.cpp: what a result looks like to the client.
  struct Rendered {
    http::Response response;
    std::string reason;
    bool recorded = false;  // as the outcome of its intent, so not as a refusal as well
  };
  Rendered render(const Exchange& x, const Result<tools::ToolResult>& result);
  Rendered render_error(const Exchange& x, const Error& error);
  Rendered render_protocol(const Exchange& x, const ProtocolError& error, std::string reason);
  Rendered render_unfinished(const Exchange& x, const tools::Unfinished& unfinished);
  Rendered render_unrecorded(const Exchange& x, const Result<tools::ToolResult>& result,
                             const Error& error);
  void answer(const ExchangePtr& x, Rendered rendered);
  void answer_call(const ExchangePtr& x, const Result<tools::ToolResult>& result);

  // endpoint_rounds.cpp: calls that have to ask before they can end.
  Handles::Call handle_context(const Exchange& x, std::string_view digest) const;
  bool provide_key(const ExchangePtr& x);
  bool ask_for_key(const ExchangePtr& x);
  void go_on_with_key(const ExchangePtr& x, std::function<Result<>()> get);
  Result<std::string> opened_state(const Exchange& x) const;
  Result<> take_answers(const Exchange& x, tools::Call& call) const;
  Rendered render_asks(const Exchange& x, const tools::Unfinished& unfinished);
  void ask_client(const ExchangePtr& x, const ErrandPtr& errand,
                  const tools::Unfinished& unfinished);

  // endpoint_lists.cpp: methods that concern no one's data, and pages of what a caller may see.
  bool admit_handshake(const ExchangePtr& x);
  void handshake(const ExchangePtr& x, const std::string& result);
  void on_worker(const ExchangePtr& x, std::function<void()> work);
  void discover(const ExchangePtr& x);
  void ping(const ExchangePtr& x);
  void set_log_level(const ExchangePtr& x);
  void list_tools(const ExchangePtr& x);
  void list_prompts(const ExchangePtr& x);
  void list_resources(const ExchangePtr& x);
  void list_templates(const ExchangePtr& x);
  void complete(const ExchangePtr& x);
  // The position that the cursor of this request stands for; nothing when it is refused already.
  std::optional<std::string> page_from(const ExchangePtr& x, std::string_view list);
  std::string cursor_to(const Exchange& x, std::string_view list, std::string_view position) const;
  bool may_use(const PrincipalPtr& principal, const policy::Operation& operation) const;
  std::vector<std::shared_ptr<const tools::Tool>> tools_of(const PrincipalPtr& principal) const;

  // endpoint_sessions.cpp: the legacy era.
  bool join_session(const ExchangePtr& x);
  void initialize(const ExchangePtr& x);
  void subscribe(const ExchangePtr& x);
  void unsubscribe(const ExchangePtr& x);
  void take_response(const ExchangePtr& x);
  void open_session_stream(const ExchangePtr& x);
  void end_session(const ExchangePtr& x);
  bool begin_batch(const ExchangePtr& x);
  void run_batch(const ExchangePtr& x);

  // endpoint_tasks.cpp: the modern era.
  void listen(const ExchangePtr& x);
  void start_listening(const ExchangePtr& x);
  void get_task(const ExchangePtr& x);
  void update_task(const ExchangePtr& x);
  void cancel_task(const ExchangePtr& x);
  bool needs_tasks(const ExchangePtr& x);
  struct TaskCall {
    policy::Permit permit;
    std::string id;
  };
  // Nothing when the request was refused.
  std::optional<TaskCall> task_call(const ExchangePtr& x, const policy::Operation& operation);
  void publish(tools::Changes::List list, const std::string& tenant);

  // endpoint_pages.cpp: no MCP, pages for people.
  void one_time(const ExchangePtr& x);
  void ask_secrets(const ExchangePtr& x);
  void show_once(const ExchangePtr& x, const std::shared_ptr<identity::Unseen>& what, bool html);

  // endpoint_refusals.cpp: the side roads.
  void refuse_credential(const ExchangePtr& x, const identity::Refused& refused);
  static bool came_with_dpop(const Exchange& x);
  http::Response credential_answer(const Exchange& x, identity::Reason reason);
  void record_credential(const Exchange& x, const identity::Refused& refused, int status);
  void refuse_denied(const ExchangePtr& x, const policy::Operation& operation,
                     const policy::Denied& denied);
  void refuse_message(const ExchangePtr& x, const ProtocolError& error, std::string_view reason);
  void refuse_params(const ExchangePtr& x, std::string message);
  void refuse_capability(const ExchangePtr& x, json::object needed);
  void refuse_arguments(const ExchangePtr& x, std::string_view reason, const std::string& message);
  void refuse_http_request(const ExchangePtr& x, int status, std::string_view error,
                           std::string_view message);
  void document(const ExchangePtr& x, const std::string& body, std::string_view cache);
  void authorization_server(const ExchangePtr& x);
  void other_method(const ExchangePtr& x, std::string_view allowed);
  void not_found(const ExchangePtr& x);
  void identify(const ExchangePtr& x);
  void send(const ExchangePtr& x, http::Response response, std::string_view reason);

  audit::Intent intent(const Exchange& x, std::string target, const json::object& arguments) const;
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
  // Lists of tools by era and by who sees the same; emptied when a list changes.
  struct ListCache {
    std::mutex mutex;
    std::unordered_map<std::string, std::shared_ptr<const std::string>> by_key;
    std::uint64_t generation = 0;  // grows with each change of a list
  };

  EndpointOptions options_;
  EndpointServices services_;
  ChallengeInfo challenge_;
  Results results_;
  Handles handles_;
  RequestLog log_;
  http::PeerBudget bad_credentials_;
  policy::Operation handshake_;
  policy::Operation get_prompt_;
  std::string resource_document_;
  std::string resource_path_;  // "/.well-known/oauth-protected-resource/mcp"
  std::vector<PerLoop> loops_;
  ListCache lists_;
  Places places_;   // of calls
  Places streams_;  // of events
  Sessions sessions_;
  Subscriptions subscriptions_;
  unsigned sweeps_ = 0;
  std::uint64_t credential_epoch_ = 0;  // when streams were last held against the keys
};

}  // namespace kubiya::mcp
