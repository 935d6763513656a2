// SPDX-License-Identifier: Apache-2.0
//
// Sessions of the legacy era (MCP 2025-11-25, Streamable HTTP, "Session Management" and
// "Resumability"). A session is never proof of identity: each request still shows its credential,
// and a session belongs to the principal that opened it.
#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "base/json.h"
#include "base/principal.h"
#include "base/result.h"
#include "http/message.h"
#include "tools/catalogue.h"

namespace kubiya::mcp {

// An event stream that a client can take up again where it lost it: what was said is kept, within
// bounds. Any thread.
class SessionStream {
 public:
  static constexpr std::size_t kKeptBytes = 256 * 1024;

  // Without `ids` nothing can be taken up again: for clients that stumble over an event without
  // data.
  SessionStream(std::string name, bool ids) : name_(std::move(name)), ids_(ids) {}
  // Says first what came after event `after`, then goes on. A stream has one reader: the one
  // before is let go.
  void attach(http::EventStream out, std::uint64_t after);
  // The same for a reader that wants only what is still to come.
  void attach(http::EventStream out);
  void event(std::string_view json);
  // The last event.
  void finish(std::string_view json);
  // Ends the connection, not the stream; the client comes back after `retry`.
  void let_go(std::chrono::milliseconds retry);
  void close();
  bool finished() const;
  bool attached() const;

 private:
  void say(std::string_view json);
  void replace_reader(http::EventStream out);

  const std::string name_;
  const bool ids_;
  mutable std::mutex mutex_;
  std::deque<std::pair<std::uint64_t, std::string>> kept_;
  std::size_t kept_bytes_ = 0;
  std::uint64_t last_ = 0;
  http::EventStream out_;
  bool finished_ = false;
};

class Session {
 public:
  // What the client answered, or why there is no answer.
  using Answered = std::function<void(Result<json::value>)>;

  Session(std::string id, std::string_view version, tools::ClientAbilities client,
          PrincipalPtr principal)
      : id_(std::move(id)),
        version_(version),
        client_(client),
        opened_openly_(!principal),
        principal_(std::move(principal)) {}

  const std::string& id() const { return id_; }
  std::string_view version() const { return version_; }
  const tools::ClientAbilities& client() const { return client_; }
  // True for the principal of the session. One that was opened without a credential, as API-key
  // mode allows, belongs to the first who shows one, and goes on taking requests without. Any
  // thread.
  bool admits(const PrincipalPtr& principal);
  PrincipalPtr principal() const;
  bool resumable() const { return version_ == "2025-11-25"; }

  void set_log_level(int rank) { log_level_.store(rank); }
  int log_level() const { return log_level_.load(); }

  // A stream for the answer to one request.
  std::shared_ptr<SessionStream> open_stream(http::EventStream out);
  // The stream of which `event_id` tells, continued behind that event. False when it is not known.
  // `expires` is when the credential that the stream was asked for with runs out.
  bool resume(std::string_view event_id, http::EventStream out, Wall expires);
  // The stream for what belongs to no request, until `expires`; its reader before is let go.
  void listen(http::EventStream out, Wall expires);
  // On that stream; lost while nobody ever listened.
  void tell(std::string_view json);

  // The text of a request to the client. `answered` runs once, on whatever thread the answer came
  // by; it must not block.
  std::string ask(std::string_view method, const json::object& params, Mono deadline,
                  Answered answered);
  // False when nothing with this id (JSON text) was asked.
  bool answer(std::string_view id, Result<json::value> result);

  // False when there are too many.
  bool watch(const std::string& uri, std::unique_ptr<tools::Watch> watch);
  void unwatch(const std::string& uri);

  // Requests under way, by id (JSON text): `abandon` runs at most once, and never after the
  // request's memory is gone if it holds it weakly.
  void began(std::string_view id, std::function<void()> abandon);
  void ended(std::string_view id);
  void cancel(std::string_view id);

  // Ends streams; who waits for an answer is told that there will be none.
  void close();
  // Gives up on what is overdue.
  void tick(Mono now, Wall wall);

  std::atomic<Mono::rep> last_used{0};

 private:
  struct Ask {
    Mono deadline;
    Answered answered;
  };
  static constexpr std::size_t kStreams = 32;
  static constexpr std::size_t kWatches = 256;

  const std::string id_;
  const std::string version_;
  const tools::ClientAbilities client_;
  const bool opened_openly_;
  std::atomic<int> log_level_{1};  // info
  mutable std::mutex mutex_;       // of all below
  PrincipalPtr principal_;
  bool closed_ = false;
  std::uint64_t next_stream_ = 1;
  std::uint64_t next_ask_ = 1;
  std::map<std::uint64_t, std::shared_ptr<SessionStream>> streams_;
  std::shared_ptr<SessionStream> general_;
  Wall general_until_ = Wall::max();
  std::map<std::string, Ask> asks_;
  std::map<std::string, std::function<void()>> begun_;
  std::map<std::string, std::unique_ptr<tools::Watch>> watches_;
};

struct SessionLimits {
  std::size_t sessions = 10'000;
  std::size_t per_principal = 100;
  std::chrono::seconds idle{3'600};
};

class Sessions {
 public:
  Sessions(SessionLimits limits, const Clock& clock) : limits_(limits), clock_(clock) {}
  // The longest unused session of a principal that has too many makes way. Code::busy when the
  // server has too many.
  Result<std::shared_ptr<Session>> open(std::string_view version, tools::ClientAbilities client,
                                        PrincipalPtr principal);
  // What `initialize` settled; empty when there is no such session. Tells nothing of whose it is.
  std::string version_of(std::string_view id);
  // Null when there is none or it is somebody else's: the two look the same.
  std::shared_ptr<Session> find(std::string_view id, const PrincipalPtr& principal);
  void close(const std::string& id);
  // Everybody's, or those of one tenant.
  std::vector<std::shared_ptr<Session>> of(const std::string& tenant);
  void tick(Mono now);
  // Ends those whose principal is no longer good.
  void end_unless(const std::function<bool(const Principal&)>& good);
  void close_all();
  std::size_t size();

 private:
  // The session that `owner` has to give up before another opens, taken out of the table.
  std::shared_ptr<Session> surplus(const std::string& owner);

  const SessionLimits limits_;
  const Clock& clock_;
  std::mutex mutex_;
  std::unordered_map<std::string, std::shared_ptr<Session>> by_id_;
};

}  // namespace kubiya::mcp
