// SPDX-License-Identifier: Apache-2.0
//
// One TCP or TLS byte stream that never waits: every call moves what it can now. Whoever owns it
// passes on the edges of epoll(7), and the stream remembers them, so that no system call is made
// that could only answer EAGAIN. TLS is decrypted from a block that the owner lends while it has
// work: an idle TLS connection then owns no buffers.
#pragma once

#include <sys/epoll.h>

#include <cstddef>
#include <cstdint>
#include <utility>

#include "base/descriptor.h"
#include "http/tls.h"

namespace kubiya::http {

// What one attempt moved.
struct Transfer {
  enum class State {
    some,     // `count` bytes, at least one
    blocked,  // nothing now; an edge will tell when to try again
    ended,    // the peer ended its sending side in order
    failed    // the stream is broken
  };
  State state;
  std::size_t count = 0;
};

// Of the thread of its loop.
class Transport {
 public:
  // What to ask epoll for.
  static constexpr std::uint32_t kEdges = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET;

  // `socket` does not block. `ssl`, for TLS, belongs to it (TlsStore::session).
  Transport(Descriptor socket, SslPtr ssl)
      : socket_(std::move(socket)),
        ssl_(std::move(ssl)),
        inflow_(ssl_ ? &inflow_of(*ssl_) : nullptr) {}

  int descriptor() const { return socket_.get(); }
  bool tls() const { return ssl_ != nullptr; }
  // Behind the handshake.
  std::string certificate() const { return ssl_ ? peer_certificate(*ssl_) : std::string(); }

  void note(std::uint32_t events);  // of epoll
  bool readable() const;            // whether receive() may move something

  // TLS receives into a block of the owner's: lent before handshake() and receive().
  bool needs_block() const { return inflow_ != nullptr && !inflow_->block; }
  void lend_block(Block block) { inflow_->block = std::move(block); }
  // The block, unless it holds what was not decrypted yet.
  Block take_block();
  // OpenSSL keeps two of 16 KiB; it makes new ones when it needs them.
  void free_session_buffers();

  // `some` when the handshake is complete.
  Transfer handshake();
  Transfer receive(char* data, std::size_t size);
  Transfer send(const char* data, std::size_t size);

  // Tells the peer that nothing more comes; receiving stays possible.
  void shutdown_send();
  void close() { socket_.reset(); }

 private:
  Transfer receive_plain(char* data, std::size_t size);
  Transfer send_plain(const char* data, std::size_t size);
  Transfer refill();
  template <class Call>
  Transfer drive(Call call);

  Descriptor socket_;
  SslPtr ssl_;
  TlsInflow* inflow_;  // of ssl_
  bool readable_ = false;
  bool writable_ = true;
  bool hung_up_ = false;          // the end of input is on its way, and makes no further edge
  bool read_needs_send_ = false;  // OpenSSL must write before it can read on
};

}  // namespace kubiya::http
