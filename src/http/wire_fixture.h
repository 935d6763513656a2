// SPDX-License-Identifier: Apache-2.0
//
// For tests: a real server on a free loopback port, and a client that sends and
// receives literal bytes.
#pragma once

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <functional>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "http/server.h"

namespace kubiya::http {

// A blocking socket that gives up after `kPatience` without progress, so that a broken
// server fails a test instead of hanging it.
class Wire {
 public:
  static constexpr int kPatienceMs = 10'000;

  explicit Wire(std::uint16_t port, int receive_buffer = 0, std::uint32_t address = INADDR_LOOPBACK)
      : fd_(::socket(AF_INET, SOCK_STREAM, 0)) {
    if (receive_buffer > 0) {
      ::setsockopt(fd_, SOL_SOCKET, SO_RCVBUF, &receive_buffer, sizeof receive_buffer);
    }
    sockaddr_in name{};
    name.sin_family = AF_INET;
    name.sin_port = htons(port);
    name.sin_addr.s_addr = htonl(address);
    connected_ = ::connect(fd_, reinterpret_cast<sockaddr*>(&name), sizeof name) == 0;
  }
  ~Wire() { close(); }
  Wire(const Wire&) = delete;
  Wire& operator=(const Wire&) = delete;

  int fd() const { return fd_; }
  bool connected() const { return connected_; }
  void close() {
    if (fd_ >= 0) ::close(fd_);
    fd_ = -1;
  }
  void shutdown_send() { ::shutdown(fd_, SHUT_WR); }

  // False when the peer no longer takes bytes.
  bool send(std::string_view bytes) {
    while (!bytes.empty()) {
      const ssize_t sent = ::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (sent <= 0) return false;
      bytes.remove_prefix(static_cast<std::size_t>(sent));
    }
    return true;
  }

  // Everything up to and including `mark`; what came so far when the peer closed before it.
  std::string read_until(std::string_view mark) {
    for (;;) {
      const std::size_t at = pending_.find(mark);
      if (at != pending_.npos) return take(at + mark.size());
      if (!receive()) return take(pending_.size());
    }
  }
  std::string read_bytes(std::size_t count) {
    while (pending_.size() < count && receive()) {
    }
    return take(std::min(count, pending_.size()));
  }
  // Everything until the peer closes.
  std::string read_all() {
    while (receive()) {
    }
    return take(pending_.size());
  }
  // One response with a Content-Length: head and body.
  std::string read_response() {
    std::string head = read_until("\r\n\r\n");
    const std::size_t at = head.find("Content-Length: ");
    if (at == head.npos) return head;
    return head + read_bytes(std::stoul(head.substr(at + 16)));
  }
  bool closed_by_peer() { return pending_.empty() && !receive() && !timed_out_; }

 private:
  std::string take(std::size_t count) {
    std::string out = pending_.substr(0, count);
    pending_.erase(0, count);
    return out;
  }
  bool receive() {
    pollfd waiting{fd_, POLLIN, 0};
    if (::poll(&waiting, 1, kPatienceMs) <= 0) {
      timed_out_ = true;
      return false;
    }
    char buffer[16 * 1024];
    const ssize_t got = ::recv(fd_, buffer, sizeof buffer, 0);
    if (got <= 0) return false;
    pending_.append(buffer, static_cast<std::size_t>(got));
    return true;
  }

  int fd_;
  bool connected_ = false;
  bool timed_out_ = false;
  std::string pending_;
};

// Threads of a test that answer later; joined at the end, so declare it first.
class Helpers {
 public:
  ~Helpers() {
    for (auto& thread : threads_) thread.join();
  }
  void run(std::function<void()> work) {
    const std::lock_guard lock(mutex_);
    threads_.emplace_back(std::move(work));
  }

 private:
  std::mutex mutex_;
  std::vector<std::thread> threads_;
};

class FunctionHandler final : public Handler {
 public:
  using Handle = std::function<void(const Request&, Responder)>;
  using Admit = std::function<void(const Request&, Admission)>;

  explicit FunctionHandler(Handle on_request, Admit on_admit = {})
      : handle_(std::move(on_request)), admit_(std::move(on_admit)) {}
  void handle(const Request& request, Responder responder) override {
    ++handled;
    handle_(request, std::move(responder));
  }
  void admit(const Request& head, Admission decide) override {
    ++asked;
    if (admit_) return admit_(head, std::move(decide));
    decide(nullptr);
  }
  void refused(const Refusal& refusal) override {
    std::string line = std::string(refusal.reason) + " " + std::to_string(refusal.status) + " " +
                       std::string(refusal.peer) + " ";
    line += refusal.request ? refusal.request->path : "-";
    if (refusal.in_body) line += " in the body";
    const std::lock_guard lock(mutex_);
    refusals_.push_back(std::move(line));
  }
  // "reason status peer path", in order.
  std::vector<std::string> refusals() const {
    const std::lock_guard lock(mutex_);
    return refusals_;
  }

  std::atomic<int> handled{0};
  std::atomic<int> asked{0};

 private:
  Handle handle_;
  Admit admit_;
  mutable std::mutex mutex_;
  std::vector<std::string> refusals_;
};

inline std::unique_ptr<Server> start_server(Handler& handler, ServerOptions options = {}) {
  options.port = 0;
  if (options.threads == 0) options.threads = 1;
  auto server = Server::open(std::move(options), handler);
  if (!server) {
    ADD_FAILURE() << server.error().message << " " << server.error().detail;
    return nullptr;
  }
  (*server)->start();
  return std::move(*server);
}

// Answers with the method, the target and the body it got.
inline void echo(const Request& request, Responder responder) {
  Response response;
  response.content_type = "text/plain";
  response.body = std::string(request.method) + " " + std::string(request.target) + " " +
                  std::string(request.body);
  responder.send(std::move(response));
}

// An address of this machine that is not loopback, host byte order; 0 when it has none. Nothing is
// sent: connecting a datagram socket only chooses the way.
inline std::uint32_t own_address() {
  const int fd = ::socket(AF_INET, SOCK_DGRAM, 0);
  sockaddr_in name{};
  name.sin_family = AF_INET;
  name.sin_port = htons(9);
  name.sin_addr.s_addr = htonl(0xCB007101);  // 203.0.113.1
  socklen_t size = sizeof name;
  const bool routed = ::connect(fd, reinterpret_cast<sockaddr*>(&name), size) == 0 &&
                      ::getsockname(fd, reinterpret_cast<sockaddr*>(&name), &size) == 0;
  ::close(fd);
  return routed ? ntohl(name.sin_addr.s_addr) : 0;
}

// Waits for something another thread brings about; false after kPatience.
inline bool eventually(const std::function<bool()>& condition) {
  for (int waited = 0; waited < Wire::kPatienceMs; waited += 2) {
    if (condition()) return true;
    ::usleep(2'000);
  }
  return condition();
}

inline std::string body_of(const std::string& response) {
  const std::size_t at = response.find("\r\n\r\n");
  return at == response.npos ? "" : response.substr(at + 4);
}

inline int status_of_text(const std::string& response) {
  return response.size() > 12 && response.starts_with("HTTP/1.1 ")
             ? std::stoi(response.substr(9, 3))
             : 0;
}

}  // namespace kubiya::http
