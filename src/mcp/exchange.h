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

#include "base/clock.h"
#include "base/json_text.h"
#include "base/principal.h"
#include "http/message.h"
#include "mcp/headers.h"
#include "mcp/message.h"

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
  Exchange(const http::Request& r, http::Responder responder, std::string id)
      : request(r),
        request_id(std::move(id)),
        headers(read_headers(r.headers)),
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
  Message message;          // views into body
  std::string_view rpc_id;  // JSON text of the id
  Accepts accepts;
  std::string tool;  // name, once known to be one of ours

  // Runs `work` on this connection's loop.
  void post(std::function<void()> work) const { responder_.post(std::move(work)); }

  // A notification that belongs to this request, before its answer. Opens the event stream.
  void notify(std::string_view json_text);
  // The one answer. On an open stream the body becomes the last event.
  void answer(http::Response response);

 private:
  std::mutex mutex_;
  http::Responder responder_;
  std::optional<http::EventStream> stream_;
  bool answered_ = false;
};

using ExchangePtr = std::shared_ptr<Exchange>;

}  // namespace kubiya::mcp
