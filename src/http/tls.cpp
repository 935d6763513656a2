// SPDX-License-Identifier: Apache-2.0
#include "http/tls.h"

#include <openssl/err.h>

#include <algorithm>
#include <cstring>

namespace kubiya::http {
namespace {

// OpenSSL's own reason, for the log only; it names no key material.
std::string openssl_reason() {
  const unsigned long code = ERR_get_error();
  ERR_clear_error();
  const char* reason = ERR_reason_error_string(code);
  return reason ? reason : "unknown reason";
}

tl::unexpected<Error> refuse(const std::string& what) {
  return fail(Code::invalid, what, openssl_reason());
}

// ALPN: we speak one protocol; a client that offers only others is refused (RFC 7301 §3.2).
int choose_protocol(SSL*, const unsigned char** out, unsigned char* out_size,
                    const unsigned char* in, unsigned in_size, void*) {
  static constexpr unsigned char kOurs[] = "\x08http/1.1";
  unsigned char* chosen = nullptr;
  if (SSL_select_next_proto(&chosen, out_size, kOurs, sizeof kOurs - 1, in, in_size) !=
      OPENSSL_NPN_NEGOTIATED) {
    return SSL_TLSEXT_ERR_ALERT_FATAL;
  }
  *out = chosen;
  return SSL_TLSEXT_ERR_OK;
}

// An encrypted key must not make OpenSSL ask on the terminal.
int no_passphrase(char*, int, int, void*) { return 0; }

void harden(SSL_CTX* context) {
  SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION);
  SSL_CTX_set_options(context, SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION |
                                   SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_PRIORITIZE_CHACHA);
  SSL_CTX_set_mode(context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
  SSL_CTX_set_cipher_list(context, "ECDHE+AESGCM:ECDHE+CHACHA20");
  SSL_CTX_set_max_early_data(context, 0);
  SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
  SSL_CTX_set_default_passwd_cb(context, no_passphrase);
  SSL_CTX_set_alpn_select_cb(context, choose_protocol, nullptr);
}

// A certificate is taken for the key it holds, and by who compares it (RFC 8705 §3): no authority
// vouches for it. Without tickets each connection proves that key anew.
void ask_for_certificates(SSL_CTX* context) {
  constexpr long kCertificateBytes = 16 * 1024;
  SSL_CTX_set_verify(context, SSL_VERIFY_PEER, nullptr);
  SSL_CTX_set_cert_verify_callback(context, [](X509_STORE_CTX*, void*) { return 1; }, nullptr);
  SSL_CTX_set_max_cert_list(context, kCertificateBytes);
  SSL_CTX_set_options(context, SSL_OP_NO_TICKET);
  SSL_CTX_set_num_tickets(context, 0);
}

TlsInflow* inflow_of(BIO* bio) { return static_cast<TlsInflow*>(BIO_get_data(bio)); }

int read_inflow(BIO* bio, char* out, int size) {
  TlsInflow& in = *inflow_of(bio);
  const std::size_t wanted = size > 0 ? static_cast<std::size_t>(size) : 0;
  const std::size_t count = std::min(in.end - in.begin, wanted);
  BIO_clear_retry_flags(bio);
  if (count == 0) {
    BIO_set_retry_read(bio);
    return -1;
  }
  std::memcpy(out, in.block.get() + in.begin, count);
  in.begin += count;
  return static_cast<int>(count);
}

// OpenSSL asks for much that does not concern a plain source.
long control_inflow(BIO*, int, long, void*) { return 0; }

int destroy_inflow(BIO* bio) {
  delete inflow_of(bio);
  return 1;
}

const BIO_METHOD* inflow_method() {
  static const BIO_METHOD* const method = [] {
    BIO_METHOD* made = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "inflow");
    ASSERT(made != nullptr, "OpenSSL takes another kind of BIO");
    BIO_meth_set_read(made, read_inflow);
    BIO_meth_set_ctrl(made, control_inflow);
    BIO_meth_set_destroy(made, destroy_inflow);
    return made;
  }();
  return method;
}

BIO* new_inflow() {
  BIO* bio = BIO_new(inflow_method());
  if (bio == nullptr) return nullptr;
  BIO_set_data(bio, new TlsInflow);
  BIO_set_init(bio, 1);
  return bio;
}

}  // namespace

TlsInflow& inflow_of(SSL& session) { return *inflow_of(SSL_get_rbio(&session)); }

std::string peer_certificate(const SSL& session) {
  X509* certificate = SSL_get0_peer_certificate(&session);
  if (certificate == nullptr) return {};
  unsigned char* bytes = nullptr;
  const int size = i2d_X509(certificate, &bytes);
  if (size <= 0) return {};
  std::string out(reinterpret_cast<const char*>(bytes), static_cast<std::size_t>(size));
  OPENSSL_free(bytes);
  return out;
}

Result<std::shared_ptr<SSL_CTX>> load_tls(const TlsFiles& files) {
  ERR_clear_error();
  std::shared_ptr<SSL_CTX> context(SSL_CTX_new(TLS_server_method()), SSL_CTX_free);
  if (!context) return fail(Code::internal, "TLS is not available", openssl_reason());
  harden(context.get());
  if (files.client_certificates) ask_for_certificates(context.get());
  if (SSL_CTX_use_certificate_chain_file(context.get(), files.certificate.c_str()) != 1) {
    return refuse("cannot read the TLS certificate " + files.certificate);
  }
  if (SSL_CTX_use_PrivateKey_file(context.get(), files.key.c_str(), SSL_FILETYPE_PEM) != 1) {
    return refuse("cannot read the TLS key " + files.key +
                  ", or it does not belong to the certificate");
  }
  if (SSL_CTX_check_private_key(context.get()) != 1) {
    return refuse("the TLS key " + files.key + " does not belong to the certificate " +
                  files.certificate);
  }
  return context;
}

void TlsStore::set(std::shared_ptr<SSL_CTX> context) {
  const std::lock_guard lock(mutex_);
  context_ = std::move(context);
}

bool TlsStore::enabled() const {
  const std::lock_guard lock(mutex_);
  return context_ != nullptr;
}

SslPtr TlsStore::session(int descriptor) const {
  std::shared_ptr<SSL_CTX> context;
  {
    const std::lock_guard lock(mutex_);
    context = context_;
  }
  SslPtr ssl(SSL_new(context.get()));
  BIO* in = new_inflow();
  BIO* out = BIO_new_socket(descriptor, BIO_NOCLOSE);
  if (!ssl || in == nullptr || out == nullptr) {
    BIO_free(in);
    BIO_free(out);
    return nullptr;
  }
  SSL_set_bio(ssl.get(), in, out);
  SSL_set_accept_state(ssl.get());
  return ssl;
}

}  // namespace kubiya::http
