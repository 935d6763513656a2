// SPDX-License-Identifier: Apache-2.0
//
// What a request and a response are to the rest of the program. No socket, no
// Boost type, no knowledge of MCP.
#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"

namespace kubiya::http {

struct Header {
  std::string_view name;   // as received; compare with iequals
  std::string_view value;  // outer spaces and tabs removed
};

// One request. All views point into the connection and stay valid as long as
// the Responder that came with the request is alive, on whatever thread.
class Request {
 public:
  std::string_view method;
  std::string_view target;  // as received, origin form
  std::string_view path;    // target up to '?'
  std::string_view query;   // behind '?', may be empty
  std::string_view body;    // complete and unchunked
  std::span<const Header> headers;
  std::string peer;     // textual address of the client: the TCP peer, or what a trusted proxy says
  bool secure = false;  // arrived over TLS, or a trusted proxy says so
  // The TCP peer is a loopback address, Host is a loopback name and no header of a proxy is there.
  bool loopback = false;
  std::string_view host;  // the one Host value
  // The client's own of this TLS connection, DER; empty: it showed none. Nobody vouches for it, but
  // whoever shows it holds its key.
  std::string_view certificate;
  int loop = 0;  // index of the event loop that serves this request
  Mono received{};

  // The first header of that name, or nullptr.
  const std::string_view* find(std::string_view name) const;
  std::string_view header(std::string_view name) const;  // empty when absent
  std::size_t count(std::string_view name) const;
};

struct Response {
  int status = 200;
  std::string_view content_type = "application/json";  // a literal
  // Further header lines, each "Name: value\r\n", already safe.
  std::string headers;
  std::string body;
  bool close = false;
  std::shared_ptr<void> place = {};  // of a stream: given back when it has ended, however it did

  Response& add(std::string_view name, std::string_view value);
};

// A stream of server-sent events (text/event-stream). Any thread may use it;
// copies share the stream. Writes after the peer went away are ignored.
class EventStream {
 public:
  class Impl {
   public:
    virtual ~Impl() = default;
    virtual void write(std::string bytes) = 0;
    virtual void close() = 0;
    virtual bool open() const = 0;
  };
  EventStream() = default;
  explicit EventStream(std::shared_ptr<Impl> impl) : impl_(std::move(impl)) {}
  // One event with one `data:` line. `json` holds no line break. With an `id` a client can say
  // later how far it came; an event of an id alone has empty data.
  void event(std::string_view json, std::string_view id = {}) const;
  // How long the client should wait before it connects again.
  void retry(std::chrono::milliseconds wait) const;
  // ": text" keep-alive.
  void comment(std::string_view text) const;
  // Ends the response in order; buffered events are sent first.
  void close() const;
  // False once the peer is gone or the stream was closed.
  bool open() const;

 private:
  std::shared_ptr<Impl> impl_;
};

// The one answer to one request. Move-only; answering twice is a bug, dropping
// it unanswered sends 500. Any thread may answer.
class Responder {
 public:
  class Impl {
   public:
    virtual ~Impl() = default;
    virtual void send(Response&& response) = 0;
    virtual EventStream stream(Response&& head) = 0;
    virtual bool open() const = 0;
    // Runs `work` on the connection's loop.
    virtual void post(std::function<void()> work) = 0;
    // The Responder is gone: nobody looks at the request any more. Called once, last.
    virtual void release() {}
  };
  Responder() = default;
  explicit Responder(std::shared_ptr<Impl> impl) : impl_(std::move(impl)) {}
  Responder(Responder&& other) noexcept = default;
  Responder& operator=(Responder&& other) noexcept;
  Responder(const Responder&) = delete;
  Responder& operator=(const Responder&) = delete;
  ~Responder();

  void send(Response response);
  // Starts an event stream; `head.content_type` and `head.body` are ignored.
  EventStream stream(Response head = {});
  bool open() const { return impl_ && impl_->open(); }
  void post(std::function<void()> work) const { impl_->post(std::move(work)); }

 private:
  void finish();

  std::shared_ptr<Impl> impl_;
  bool answered_ = false;
};

// A request that the server refused by itself, before any handler was asked for an answer.
struct Refusal {
  std::string_view reason;  // machine word, a literal of a closed list
  int status = 0;
  // Null when no head could be read. Its body is not there.
  const Request* request = nullptr;
  std::string_view peer;  // textual address; that of the TCP peer when there is no head
  bool in_body = false;   // refused for its body, so Host and Origin were accepted
  int loop = 0;
};

// What the server calls, on the connection's loop; it must not block.
class Handler {
 public:
  virtual ~Handler() = default;
  virtual void handle(const Request& request, Responder responder) = 0;
  // Asked once when a body passes `Limits::early_body_bytes`, before the rest is
  // read: call `go_on` with nothing to continue, or with the answer to give; the
  // connection is closed after that answer.
  using Admission = std::function<void(std::unique_ptr<Response> refusal)>;
  virtual void admit(const Request& head, Admission decide) = 0;
  // Told of each request that handle() will not see. The answer is on its way.
  virtual void refused(const Refusal&) {}
};

std::string_view reason_phrase(int status);

}  // namespace kubiya::http
