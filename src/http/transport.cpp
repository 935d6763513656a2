// SPDX-License-Identifier: Apache-2.0
#include "http/transport.h"

#include <openssl/err.h>
#include <sys/socket.h>

#include <cerrno>

namespace kubiya::http {
namespace {

constexpr Transfer kBlocked{Transfer::State::blocked};
constexpr Transfer kEnded{Transfer::State::ended};
constexpr Transfer kFailed{Transfer::State::failed};

Transfer some(std::size_t count) { return {Transfer::State::some, count}; }

int clamp(std::size_t size) {
  constexpr std::size_t kMax = 1 << 30;
  return static_cast<int>(size < kMax ? size : kMax);
}

bool would_block() { return errno == EAGAIN || errno == EWOULDBLOCK; }

}  // namespace

void Transport::note(std::uint32_t events) {
  if (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) hung_up_ = true;
  if (hung_up_ || (events & EPOLLIN)) readable_ = true;
  if (events & (EPOLLOUT | EPOLLHUP | EPOLLERR)) writable_ = true;
}

bool Transport::readable() const {
  if (readable_ || !ssl_) return readable_;
  return read_needs_send_ || !inflow_->empty() || SSL_pending(ssl_.get()) > 0;
}

Block Transport::take_block() {
  if (inflow_ == nullptr || !inflow_->empty()) return {};
  return std::move(inflow_->block);
}

void Transport::free_session_buffers() {
  if (ssl_) SSL_free_buffers(ssl_.get());
}

Transfer Transport::receive_plain(char* data, std::size_t size) {
  for (;;) {
    const ssize_t count = ::recv(socket_.get(), data, size, 0);
    if (count > 0) {
      // Less than was asked for empties the socket's buffer: what comes next makes an edge.
      readable_ = hung_up_ || static_cast<std::size_t>(count) == size;
      return some(static_cast<std::size_t>(count));
    }
    if (count == 0) return kEnded;
    if (errno == EINTR) continue;
    if (!would_block()) return kFailed;
    readable_ = false;
    return kBlocked;
  }
}

Transfer Transport::send_plain(const char* data, std::size_t size) {
  if (!writable_) return kBlocked;
  for (;;) {
    const ssize_t count = ::send(socket_.get(), data, size, MSG_NOSIGNAL);
    if (count >= 0) {
      writable_ = static_cast<std::size_t>(count) == size;
      return some(static_cast<std::size_t>(count));
    }
    if (errno == EINTR) continue;
    if (!would_block()) return kFailed;
    writable_ = false;
    return kBlocked;
  }
}

// The end of the stream without TLS saying so is a broken connection.
Transfer Transport::refill() {
  ASSERT(inflow_->block && inflow_->empty(), "a block is lent, and decrypted before the next");
  if (!readable_) return kBlocked;
  inflow_->begin = inflow_->end = 0;
  const Transfer got = receive_plain(inflow_->block.get(), kBlockBytes);
  if (got.state == Transfer::State::ended) return kFailed;
  inflow_->end = got.count;
  return got;
}

// Repeats one call of OpenSSL while the socket has input for it.
template <class Call>
Transfer Transport::drive(Call call) {
  for (;;) {
    ERR_clear_error();
    const int result = call(ssl_.get());
    if (result > 0) return some(static_cast<std::size_t>(result));
    switch (SSL_get_error(ssl_.get(), result)) {
      case SSL_ERROR_WANT_READ: {
        const Transfer got = refill();
        if (got.state != Transfer::State::some) return got;
        continue;
      }
      case SSL_ERROR_WANT_WRITE:
        writable_ = false;
        return kBlocked;
      case SSL_ERROR_ZERO_RETURN:
        return kEnded;
      default:
        return kFailed;
    }
  }
}

Transfer Transport::handshake() {
  return drive([](SSL* ssl) { return SSL_accept(ssl); });
}

Transfer Transport::receive(char* data, std::size_t size) {
  if (!ssl_) return receive_plain(data, size);
  if (inflow_->empty() && SSL_has_pending(ssl_.get()) == 0) {
    const Transfer got = refill();
    if (got.state != Transfer::State::some) return got;
  }
  const Transfer read = drive([&](SSL* ssl) { return SSL_read(ssl, data, clamp(size)); });
  read_needs_send_ = read.state == Transfer::State::blocked && !writable_;
  return read;
}

Transfer Transport::send(const char* data, std::size_t size) {
  if (!ssl_) return send_plain(data, size);
  if (!writable_) return kBlocked;
  ERR_clear_error();
  const int result = SSL_write(ssl_.get(), data, clamp(size));
  if (result > 0) return some(static_cast<std::size_t>(result));
  // Without renegotiation nothing that is written waits for input.
  if (SSL_get_error(ssl_.get(), result) != SSL_ERROR_WANT_WRITE) return kFailed;
  writable_ = false;
  return kBlocked;
}

void Transport::shutdown_send() {
  if (ssl_ && SSL_is_init_finished(ssl_.get())) {
    ERR_clear_error();
    SSL_shutdown(ssl_.get());
  }
  ::shutdown(socket_.get(), SHUT_WR);
}

}  // namespace kubiya::http
