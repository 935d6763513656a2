// SPDX-License-Identifier: Apache-2.0
//
// One request on its way through the endpoint: what came in, what each stop earned,
// and the one answer. Shared by the threads that take part in an asynchronous call;
// answering is the only thing two of them may do at once, and it is guarded.
#pragma once

#include <cstddef>
#include <memory>
#include <memory_resource>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/json_text.h"
#include "base/principal.h"
#include "http/message.h"
#include "mcp/headers.h"
#include "mcp/message.h"
#include "mcp/session.h"

namespace kubiya::mcp {

// Memory for one body, taken from and given back to a small store of the calling thread, because
// the allocator is slow with blocks of this size.
class ArenaBlock {
 public:
  static constexpr std::size_t kBytes = 4096;
  ArenaBlock();
  ~ArenaBlock();
  ArenaBlock(const ArenaBlock&) = delete;
  ArenaBlock& operator=(const ArenaBlock&) = delete;
  unsigned char* data() const { return bytes_.get(); }

 private:
  std::unique_ptr<unsigned char[]> bytes_;
};

class Exchange {
 public:
  enum NoHeaders { no_headers };
  Exchange(const http::Request& r, http::Responder responder, std::string id)
      : request(r),
        request_id(std::move(id)),
        headers(read_headers(r.headers)),
        responder_(std::move(responder)) {}
  // Of a transport that has no headers to repeat the body in.
  Exchange(const http::Request& r, http::Responder responder, std::string id, NoHeaders)
      : request(r),
        request_id(std::move(id)),
        headers(without_mirrored(read_headers(r.headers))),
        responder_(std::move(responder)) {}
  Exchange(const Exchange&) = delete;
  Exchange& operator=(const Exchange&) = delete;

 private:
  ArenaBlock block_;
  std::pmr::monotonic_buffer_resource memory_{block_.data(), ArenaBlock::kBytes};

 public:
  const http::Request& request;  // valid while this exchange lives
  const std::string request_id;
  const Headers headers;

  // Earned on the way.
  PrincipalPtr principal;  // null until verified, and for the open methods of API-key mode
  bool received = false;   // body parsed and decoded
  JsonText body{&memory_};
  std::string session_version;      // settled by the session that the request names
  Message message;                  // views into body and session_version
  std::vector<JsonView> batch;      // the messages, when the body is an array
  std::shared_ptr<Exchange> whole;  // of one message of a batch: what holds its bytes
  std::string_view rpc_id;          // JSON text of the id
  Accepts accepts;
  bool key_provided = false;                     // the caller was given a key just in time, once
  std::string tool;                              // name, once known to be one of ours
  std::shared_ptr<Session> session;              // of the legacy era, when there is one
  std::shared_ptr<const tools::Tool> kept_tool;  // keeps one that may come and go

  bool can_stream() const { return accepts.events; }
  std::shared_ptr<void> stream_place;  // for the stream that this call may open; null: unbounded

  // Runs `work` on this connection's loop.
  void post(std::function<void()> work) const { responder_.post(std::move(work)); }

  // A message that belongs to this request, before its answer. Opens the event stream.
  void notify(std::string_view json_text);
  // The one answer. On an open stream the body becomes the last event.
  void answer(http::Response response);
  // False once the client is gone for good, or wants no answer any more. Any thread.
  bool is_awaited();
  // The client no longer wants the answer (notifications/cancelled): nothing more is said.
  void abandon();
  // Ends the connection of a stream that can be taken up again.
  void let_go();
  // The request is answered by a stream of somebody else's making; this exchange is then done.
  http::EventStream detach(std::shared_ptr<void> place);

 private:
  void open_stream();

  std::mutex mutex_;
  http::Responder responder_;

  std::optional<http::EventStream> stream_;
  std::shared_ptr<SessionStream> session_stream_;  // instead, in a session
  bool answered_ = false;
};

using ExchangePtr = std::shared_ptr<Exchange>;

}  // namespace kubiya::mcp
