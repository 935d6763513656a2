// SPDX-License-Identifier: Apache-2.0
//
// One TCP or TLS byte stream with a completion per operation. TLS is decrypted from a block that
// the connection lends while it has work: an idle TLS connection then owns no buffers, which
// asio::ssl::stream does not offer. Handlers are never called from inside the call that starts an
// operation.
#pragma once

#include <openssl/err.h>

#include <boost/asio/buffer.hpp>
#include <boost/asio/error.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/post.hpp>
#include <utility>

#include "http/tls.h"

namespace kubiya::http {

namespace asio = boost::asio;
using ErrorCode = boost::system::error_code;
// The concrete executor: any_io_executor costs half a microsecond per request.
using Socket = asio::basic_stream_socket<asio::ip::tcp, asio::io_context::executor_type>;

class Transport {
 public:
  Transport(Socket socket, SslPtr ssl)
      : socket_(std::move(socket)),
        ssl_(std::move(ssl)),
        inflow_(ssl_ ? &inflow_of(*ssl_) : nullptr) {}

  bool tls() const { return ssl_ != nullptr; }

  // TLS receives into a block of the connection's: lent before handshake() and read_some().
  bool needs_block() const { return inflow_ != nullptr && !inflow_->block; }
  void lend_block(Block block) { inflow_->block = std::move(block); }
  // While nothing is being read: the block, unless it holds what was not decrypted yet.
  Block take_block() {
    if (inflow_ == nullptr || !inflow_->empty()) return {};
    return std::move(inflow_->block);
  }
  // OpenSSL keeps two of 16 KiB; it makes new ones when it needs them.
  void free_session_buffers() {
    if (ssl_) SSL_free_buffers(ssl_.get());
  }

  // `handler(ErrorCode)`
  template <class Handler>
  void handshake(Handler handler) {
    start({Operation::Kind::accept, nullptr, nullptr, 0},
          [handler = std::move(handler)](ErrorCode error, std::size_t) mutable { handler(error); });
  }

  // `handler(ErrorCode, std::size_t)`, as for every operation below.
  template <class Handler>
  void read_some(char* data, std::size_t size, Handler handler) {
    if (!ssl_) {
      socket_.async_read_some(asio::buffer(data, size), std::move(handler));
      return;
    }
    const Operation read{Operation::Kind::read, data, nullptr, clamp(size)};
    if (!has_input()) return receive(read, std::move(handler));
    start(read, std::move(handler));
  }

  template <class Handler>
  void write_some(const char* data, std::size_t size, Handler handler) {
    if (!ssl_) {
      socket_.async_write_some(asio::buffer(data, size), std::move(handler));
      return;
    }
    start({Operation::Kind::write, nullptr, data, clamp(size)}, std::move(handler));
  }

  // Completes with 0 bytes when something can be read; needs no buffer.
  template <class Handler>
  void wait_readable(Handler handler) {
    if (ssl_ && has_input()) return complete({}, std::move(handler));
    socket_.async_wait(Socket::wait_read, [handler = std::move(handler)](ErrorCode error) mutable {
      handler(error, 0);
    });
  }

  // Tells the peer that nothing more comes; reading stays possible.
  void shutdown_send() {
    if (ssl_ && SSL_is_init_finished(ssl_.get())) {
      ERR_clear_error();
      SSL_shutdown(ssl_.get());
    }
    ErrorCode ignored;
    socket_.shutdown(Socket::shutdown_send, ignored);
  }

  // Running operations complete with operation_aborted.
  void cancel() {
    ErrorCode ignored;
    socket_.cancel(ignored);
  }
  void close() {
    ErrorCode ignored;
    socket_.close(ignored);
  }

 private:
  // One call of OpenSSL, to be repeated until it has moved bytes.
  struct Operation {
    enum class Kind { accept, read, write };
    Kind kind;
    char* target;
    const char* source;
    int size;
  };
  struct Attempt {
    ErrorCode error;
    std::size_t count = 0;
    int wants = SSL_ERROR_NONE;  // or WANT_READ, WANT_WRITE: not done yet
  };

  static int clamp(std::size_t size) {
    constexpr std::size_t kMax = 1 << 30;
    return static_cast<int>(size < kMax ? size : kMax);
  }

  // Whether OpenSSL can go on without the socket.
  bool has_input() const { return !inflow_->empty() || SSL_has_pending(ssl_.get()) == 1; }

  int call(const Operation& operation) {
    switch (operation.kind) {
      case Operation::Kind::accept:
        return SSL_accept(ssl_.get());
      case Operation::Kind::read:
        return SSL_read(ssl_.get(), operation.target, operation.size);
      case Operation::Kind::write:
        return SSL_write(ssl_.get(), operation.source, operation.size);
    }
    return 0;
  }

  Attempt attempt(const Operation& operation) {
    if (!socket_.is_open()) return {asio::error::operation_aborted};
    ERR_clear_error();
    const int result = call(operation);
    if (result > 0) return {{}, static_cast<std::size_t>(result)};
    const int why = SSL_get_error(ssl_.get(), result);
    if (why == SSL_ERROR_ZERO_RETURN) return {asio::error::eof};
    // Without renegotiation nothing that is written waits for input, which a read may be taking.
    const bool may_wait = why == SSL_ERROR_WANT_WRITE ||
                          (why == SSL_ERROR_WANT_READ && operation.kind != Operation::Kind::write);
    if (may_wait) return {{}, 0, why};
    return {asio::error::connection_reset};
  }

  template <class Handler>
  void start(const Operation& operation, Handler handler) {
    const Attempt result = attempt(operation);
    if (result.wants != SSL_ERROR_NONE) return wait(result.wants, operation, std::move(handler));
    complete(result, std::move(handler));
  }

  template <class Handler>
  void complete(const Attempt& result, Handler handler) {
    asio::post(socket_.get_executor(), [result, handler = std::move(handler)]() mutable {
      handler(result.error, result.count);
    });
  }

  // From a completion, so the handler may be called at once.
  template <class Handler>
  void resume(const Operation& operation, Handler handler) {
    const Attempt result = attempt(operation);
    if (result.wants != SSL_ERROR_NONE) return wait(result.wants, operation, std::move(handler));
    handler(result.error, result.count);
  }

  template <class Handler>
  void wait(int wants, const Operation& operation, Handler handler) {
    if (wants == SSL_ERROR_WANT_READ) return receive(operation, std::move(handler));
    socket_.async_wait(Socket::wait_write,
                       [this, operation, handler = std::move(handler)](ErrorCode error) mutable {
                         if (error) return handler(error, 0);
                         resume(operation, std::move(handler));
                       });
  }

  // The end of the stream without TLS saying so is a broken connection.
  template <class Handler>
  void receive(const Operation& operation, Handler handler) {
    ASSERT(inflow_->block && inflow_->empty(), "a block is lent, and decrypted before the next");
    inflow_->begin = inflow_->end = 0;
    socket_.async_read_some(asio::buffer(inflow_->block.get(), kBlockBytes),
                            [this, operation, handler = std::move(handler)](
                                ErrorCode error, std::size_t count) mutable {
                              if (error == asio::error::eof) error = asio::error::connection_reset;
                              if (error) return handler(error, 0);
                              if (inflow_->block)
                                inflow_->end = count;  // gone when closed meanwhile
                              resume(operation, std::move(handler));
                            });
  }

  Socket socket_;
  SslPtr ssl_;
  TlsInflow* inflow_;  // of ssl_
};

}  // namespace kubiya::http
