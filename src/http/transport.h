// SPDX-License-Identifier: Apache-2.0
//
// One TCP or TLS byte stream with a completion per operation. TLS runs on the
// descriptor (SSL_set_fd): an idle TLS connection then owns no buffers, which
// asio::ssl::stream does not offer. Handlers are never called from inside the
// call that starts an operation.
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
  Transport(Socket socket, SslPtr ssl) : socket_(std::move(socket)), ssl_(std::move(ssl)) {}

  bool tls() const { return ssl_ != nullptr; }

  // `handler(ErrorCode)`
  template <class Handler>
  void handshake(Handler handler) {
    asio::post(socket_.get_executor(), [this, handler = std::move(handler)]() mutable {
      run(SSL_accept,
          [handler = std::move(handler)](ErrorCode error, std::size_t) mutable { handler(error); });
    });
  }

  // `handler(ErrorCode, std::size_t)`, as for every operation below.
  template <class Handler>
  void read_some(char* data, std::size_t size, Handler handler) {
    if (!ssl_) {
      socket_.async_read_some(asio::buffer(data, size), std::move(handler));
      return;
    }
    asio::post(socket_.get_executor(), [=, this, handler = std::move(handler)]() mutable {
      run([=](SSL* ssl) { return SSL_read(ssl, data, clamp(size)); }, std::move(handler));
    });
  }

  template <class Handler>
  void write_some(const char* data, std::size_t size, Handler handler) {
    if (!ssl_) {
      socket_.async_write_some(asio::buffer(data, size), std::move(handler));
      return;
    }
    asio::post(socket_.get_executor(), [=, this, handler = std::move(handler)]() mutable {
      run([=](SSL* ssl) { return SSL_write(ssl, data, clamp(size)); }, std::move(handler));
    });
  }

  // Completes with 0 bytes when something can be read; needs no buffer.
  template <class Handler>
  void wait_readable(Handler handler) {
    if (ssl_ && SSL_has_pending(ssl_.get())) {
      asio::post(socket_.get_executor(),
                 [handler = std::move(handler)]() mutable { handler(ErrorCode(), 0); });
      return;
    }
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
  static int clamp(std::size_t size) {
    constexpr std::size_t kMax = 1 << 30;
    return static_cast<int>(size < kMax ? size : kMax);
  }

  // Repeats one OpenSSL call until it has moved bytes, waiting for the socket in between.
  template <class Call, class Handler>
  void run(Call call, Handler handler) {
    if (!socket_.is_open()) return handler(asio::error::operation_aborted, 0);
    ERR_clear_error();
    const int result = call(ssl_.get());
    if (result > 0) return handler(ErrorCode(), static_cast<std::size_t>(result));
    switch (SSL_get_error(ssl_.get(), result)) {
      case SSL_ERROR_WANT_READ:
        return wait(Socket::wait_read, call, std::move(handler));
      case SSL_ERROR_WANT_WRITE:
        return wait(Socket::wait_write, call, std::move(handler));
      case SSL_ERROR_ZERO_RETURN:
        return handler(asio::error::eof, 0);
      default:
        return handler(asio::error::connection_reset, 0);
    }
  }

  template <class Call, class Handler>
  void wait(Socket::wait_type what, Call call, Handler handler) {
    socket_.async_wait(what, [this, call, handler = std::move(handler)](ErrorCode error) mutable {
      if (error) return handler(error, 0);
      run(call, std::move(handler));
    });
  }

  Socket socket_;
  SslPtr ssl_;
};

}  // namespace kubiya::http
