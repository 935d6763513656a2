// SPDX-License-Identifier: Apache-2.0
//
// The server side of TLS 1.2 and 1.3: one context, replaceable at run time.
#pragma once

#include <openssl/ssl.h>

#include <memory>
#include <mutex>
#include <string>

#include "base/result.h"
#include "http/block.h"
#include "http/server.h"

namespace kubiya::http {

struct SslFree {
  void operator()(SSL* ssl) const { SSL_free(ssl); }
};
using SslPtr = std::unique_ptr<SSL, SslFree>;

// What came in for a session and waits to be decrypted, [begin, end) of `block`. OpenSSL reads
// here and not from the socket, so that receiving is an operation of the loop like any other.
struct TlsInflow {
  Block block;
  std::size_t begin = 0;
  std::size_t end = 0;
  bool empty() const { return begin == end; }
};
// Of a session of TlsStore, which owns it.
TlsInflow& inflow_of(SSL& session);

// What the client showed in the handshake, DER; empty: nothing.
std::string peer_certificate(const SSL& session);

// Reads certificate chain and key, checks that they belong together.
Result<std::shared_ptr<SSL_CTX>> load_tls(const TlsFiles& files);

// The context new connections use. Any thread.
class TlsStore {
 public:
  void set(std::shared_ptr<SSL_CTX> context);
  bool enabled() const;
  // A server-side session that reads from its inflow and writes to `descriptor`, which stays the
  // caller's. Null when the machine is out of memory.
  SslPtr session(int descriptor) const;

 private:
  mutable std::mutex mutex_;
  std::shared_ptr<SSL_CTX> context_;
};

}  // namespace kubiya::http
