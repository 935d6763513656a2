// SPDX-License-Identifier: Apache-2.0
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <signal.h>

#include <cstdio>
#include <filesystem>
#include <fstream>

#include "http/wire_fixture.h"

namespace kubiya::http {
namespace {

constexpr std::string_view kGet = "GET /a HTTP/1.1\r\nHost: localhost\r\n\r\n";

using FilePtr = std::unique_ptr<std::FILE, int (*)(std::FILE*)>;
using KeyPtr = std::unique_ptr<EVP_PKEY, void (*)(EVP_PKEY*)>;
using CertPtr = std::unique_ptr<X509, void (*)(X509*)>;

// A directory with a fresh self-signed certificate and its key.
class Certificate {
 public:
  Certificate() {
    char name[] = "/tmp/kubiya-tls-XXXXXX";
    directory_ = ::mkdtemp(name);
    write(1);
  }
  ~Certificate() { std::filesystem::remove_all(directory_); }

  TlsFiles files() const { return {directory_ + "/cert.pem", directory_ + "/key.pem"}; }

  void write(long serial) const {
    const KeyPtr key(EVP_EC_gen("P-256"), EVP_PKEY_free);
    const CertPtr cert(X509_new(), X509_free);
    ASN1_INTEGER_set(X509_get_serialNumber(cert.get()), serial);
    X509_gmtime_adj(X509_getm_notBefore(cert.get()), -60);
    X509_gmtime_adj(X509_getm_notAfter(cert.get()), 3600);
    X509_set_pubkey(cert.get(), key.get());
    X509_NAME* name = X509_get_subject_name(cert.get());
    X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC,
                               reinterpret_cast<const unsigned char*>("localhost"), -1, -1, 0);
    X509_set_issuer_name(cert.get(), name);
    ASSERT_GT(X509_sign(cert.get(), key.get(), EVP_sha256()), 0);
    const FilePtr cert_file(std::fopen(files().certificate.c_str(), "w"), std::fclose);
    PEM_write_X509(cert_file.get(), cert.get());
    const FilePtr key_file(std::fopen(files().key.c_str(), "w"), std::fclose);
    PEM_write_PrivateKey(key_file.get(), key.get(), nullptr, nullptr, 0, nullptr, nullptr);
  }

 private:
  std::string directory_;
};

class TlsWire {
 public:
  explicit TlsWire(std::uint16_t port, int version = 0)
      : wire_(port), context_(SSL_CTX_new(TLS_client_method()), SSL_CTX_free) {
    if (version != 0) {
      SSL_CTX_set_security_level(context_.get(), 0);
      SSL_CTX_set_min_proto_version(context_.get(), version);
      SSL_CTX_set_max_proto_version(context_.get(), version);
    }
    ::signal(SIGPIPE, SIG_IGN);  // for our own writes; the server's loops block it themselves
    ssl_.reset(SSL_new(context_.get()));
    SSL_set_fd(ssl_.get(), wire_.fd());
    connected_ = SSL_connect(ssl_.get()) == 1;
  }

  bool connected() const { return connected_; }
  void send(std::string_view bytes) {
    while (!bytes.empty()) {
      const int sent = SSL_write(ssl_.get(), bytes.data(), static_cast<int>(bytes.size()));
      if (sent <= 0) return;
      bytes.remove_prefix(static_cast<std::size_t>(sent));
    }
  }
  // One record, delivered byte by byte.
  void send_in_pieces(std::string_view bytes) {
    BIO* const record = BIO_new(BIO_s_mem());
    SSL_set0_wbio(ssl_.get(), record);
    send(bytes);
    char* text = nullptr;
    const long size = BIO_get_mem_data(record, &text);
    for (long i = 0; i < size; ++i) wire_.send({text + i, 1});
    SSL_set0_wbio(ssl_.get(), BIO_new_socket(wire_.fd(), BIO_NOCLOSE));
  }
  std::string read_until(std::string_view mark) {
    std::string out;
    char byte = 0;
    while (!out.ends_with(mark) && SSL_read(ssl_.get(), &byte, 1) == 1) out += byte;
    return out;
  }
  std::string read_bytes(std::size_t count) {
    std::string out(count, '\0');
    std::size_t size = 0;
    std::size_t got = 0;
    while (size < count && SSL_read_ex(ssl_.get(), &out[size], count - size, &got) == 1)
      size += got;
    out.resize(size);
    return out;
  }
  long serial() const {
    const CertPtr cert(SSL_get1_peer_certificate(ssl_.get()), X509_free);
    return ASN1_INTEGER_get(X509_get0_serialNumber(cert.get()));
  }
  int version() const { return SSL_version(ssl_.get()); }

 private:
  Wire wire_;
  std::unique_ptr<SSL_CTX, void (*)(SSL_CTX*)> context_;
  std::unique_ptr<SSL, void (*)(SSL*)> ssl_{nullptr, SSL_free};
  bool connected_ = false;
};

ServerOptions with_tls(const Certificate& certificate) {
  ServerOptions options;
  options.tls = certificate.files();
  return options;
}

void secure_echo(const Request& request, Responder responder) {
  Response response;
  response.body = request.secure ? "secure " : "plain ";
  response.body += std::string(request.body) + "<end>";
  responder.send(std::move(response));
}

TEST(Tls, ServesSeveralRequestsAndLargeBodies) {
  const Certificate certificate;
  FunctionHandler handler(secure_echo);
  const auto server = start_server(handler, with_tls(certificate));
  TlsWire wire(server->port());
  ASSERT_TRUE(wire.connected());
  EXPECT_EQ(wire.version(), TLS1_3_VERSION);
  const std::string body(700'000, 'x');
  for (int i = 0; i < 2; ++i) {
    wire.send(kGet);
    EXPECT_TRUE(wire.read_until("<end>").ends_with("\r\n\r\nsecure <end>"));
    wire.send("POST /a HTTP/1.1\r\nHost: localhost\r\nContent-Length: 700000\r\n\r\n" + body);
    EXPECT_TRUE(wire.read_until("<end>").ends_with("\r\n\r\nsecure " + body + "<end>"));
  }
}

TEST(Tls, ServesManyRecordsThatArriveTogether) {
  const Certificate certificate;
  FunctionHandler handler(secure_echo);
  const auto server = start_server(handler, with_tls(certificate));
  TlsWire wire(server->port());
  constexpr int kRequests = 300;
  for (int i = 0; i < kRequests; ++i) {
    const std::string body = std::to_string(i) + std::string(i % 7 * 40, '.');
    wire.send("POST /a HTTP/1.1\r\nHost: localhost\r\nContent-Length: " +
              std::to_string(body.size()) + "\r\n\r\n" + body);
  }
  for (int i = 0; i < kRequests; ++i) {
    const std::string body = std::to_string(i) + std::string(i % 7 * 40, '.');
    ASSERT_TRUE(wire.read_until("<end>").ends_with("\r\n\r\nsecure " + body + "<end>"));
  }
}

TEST(Tls, AcceptsARecordInPiecesOfOneByte) {
  const Certificate certificate;
  FunctionHandler handler(secure_echo);
  const auto server = start_server(handler, with_tls(certificate));
  TlsWire wire(server->port());
  for (int i = 0; i < 3; ++i) {
    wire.send_in_pieces(kGet);
    EXPECT_TRUE(wire.read_until("<end>").ends_with("secure <end>"));
  }
}

// The reader waits until the kernel takes no more of the answer.
TEST(Tls, AnswersAReaderThatComesLate) {
  const Certificate certificate;
  const std::string large(20'000'000, 'x');
  std::atomic<bool> answered{false};
  FunctionHandler handler([&](const Request&, Responder responder) {
    Response response;
    response.body = large;
    responder.send(std::move(response));
    answered = true;
  });
  const auto server = start_server(handler, with_tls(certificate));
  TlsWire wire(server->port());
  wire.send(kGet);
  ASSERT_TRUE(eventually([&] { return answered.load(); }));
  wire.send(kGet);  // is read behind the first answer
  for (int i = 0; i < 2; ++i) {
    EXPECT_TRUE(wire.read_until("\r\n\r\n").starts_with("HTTP/1.1 200"));
    EXPECT_TRUE(wire.read_bytes(large.size()) == large);
  }
}

TEST(Tls, GivesItsBuffersBackWhileIdleAndStillAnswers) {
  const Certificate certificate;
  FunctionHandler handler(secure_echo);
  const auto server = start_server(handler, with_tls(certificate));
  TlsWire wire(server->port());
  wire.send(kGet);
  EXPECT_NE(wire.read_until("<end>"), "");
  ::usleep(1'600'000);  // past the moment the buffers go
  wire.send(std::string(kGet) + std::string(kGet));
  EXPECT_NE(wire.read_until("<end>"), "");
  EXPECT_NE(wire.read_until("<end>"), "");
}

TEST(Tls, RefusesVersionsBefore12) {
  const Certificate certificate;
  FunctionHandler handler(secure_echo);
  const auto server = start_server(handler, with_tls(certificate));
  EXPECT_FALSE(TlsWire(server->port(), TLS1_VERSION).connected());
  EXPECT_FALSE(TlsWire(server->port(), TLS1_1_VERSION).connected());
  EXPECT_TRUE(TlsWire(server->port(), TLS1_2_VERSION).connected());
}

TEST(Tls, ClosesPlainClientsAndUnfinishedHandshakes) {
  const Certificate certificate;
  FunctionHandler handler(secure_echo);
  ServerOptions options = with_tls(certificate);
  options.limits.tls_handshake = std::chrono::milliseconds(100);
  const auto server = start_server(handler, options);
  Wire plain(server->port());
  plain.send(kGet);
  EXPECT_EQ(plain.read_all().find("HTTP/1.1 200"), std::string::npos);
  Wire silent(server->port());
  EXPECT_TRUE(silent.closed_by_peer());
  EXPECT_EQ(handler.handled, 0);
}

TEST(Tls, ReloadsAndKeepsTheOldCertificateOnError) {
  const Certificate certificate;
  FunctionHandler handler(secure_echo);
  const auto server = start_server(handler, with_tls(certificate));
  TlsWire before(server->port());
  EXPECT_EQ(before.serial(), 1);
  certificate.write(2);
  ASSERT_TRUE(server->reload_tls());
  EXPECT_EQ(TlsWire(server->port()).serial(), 2);
  std::ofstream(certificate.files().certificate) << "garbage";
  EXPECT_FALSE(server->reload_tls());
  EXPECT_EQ(TlsWire(server->port()).serial(), 2);
  before.send(kGet);
  EXPECT_TRUE(before.read_until("<end>").ends_with("secure <end>"));
}

TEST(Tls, RefusesAKeyOfAnotherCertificate) {
  const Certificate one;
  const Certificate other;
  FunctionHandler handler(secure_echo);
  ServerOptions options;
  options.tls = {one.files().certificate, other.files().key};
  const auto server = Server::open(options, handler);
  ASSERT_FALSE(server);
  EXPECT_EQ(server.error().code, Code::invalid);
}

}  // namespace
}  // namespace kubiya::http
