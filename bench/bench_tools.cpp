// SPDX-License-Identifier: Apache-2.0
//
// What the benchmarks measure against: the same HTTP path with one raw signature
// verification per request, verification in a loop, the disk's group-commit limit, a bare
// spawn loop; and makers of many distinct tokens and keys.
#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <sstream>
#include <string>

#include <fmt/format.h>

#include "app/application.h"
#include "base/encoding.h"
#include "base/ids.h"
#include "crypto/signature.h"
#include "http/server.h"
#include "identity/api_key.h"
#include "raw_openssl.h"
#include "store/store.h"
#include "verify_cost.h"

extern char** environ;

namespace {

using namespace kubiya;
using Clock = std::chrono::steady_clock;

std::string slurp(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  std::stringstream text;
  text << in.rdbuf();
  return text.str();
}

crypto::PrivateKey key_from(const std::string& path) {
  auto key = crypto::PrivateKey::from_pem(slurp(path));
  if (!key) {
    std::fprintf(stderr, "cannot read the key %s\n", path.c_str());
    std::exit(2);
  }
  return std::move(*key);
}

// tokens KEY KID ISSUER AUDIENCE SUBJECT COUNT SCOPES: one token a line, all different.
int make_tokens(char** argv) {
  const auto key = key_from(argv[0]);
  const long count = std::atol(argv[5]);
  const long now = static_cast<long>(std::time(nullptr));
  const std::string header =
      base64url(fmt::format(R"({{"alg":"RS256","typ":"at+jwt","kid":"{}"}})", argv[1]));
  for (long i = 0; i < count; ++i) {
    const std::string claims = fmt::format(
        R"({{"iss":"{}","aud":"{}","sub":"{}","scope":"{}","kubiya_api_key":"kb-bench","iat":{},"exp":{},"jti":"{}"}})",
        argv[2], argv[3], argv[4], argv[6], now, now + 7200, random_id());
    const std::string input = header + "." + base64url(claims);
    std::cout << input << '.' << base64url(*key.sign(crypto::Algorithm::rs256, input)) << '\n';
  }
  return 0;
}

// strangers ISSUER AUDIENCE COUNT: one token a line, each of a key that nobody published.
int make_strangers(char** argv) {
  const long now = static_cast<long>(std::time(nullptr));
  const std::string signature = base64url(std::string(256, 's'));
  for (long i = std::atol(argv[2]); i > 0; --i) {
    const std::string header =
        base64url(fmt::format(R"({{"alg":"RS256","typ":"at+jwt","kid":"{}"}})", random_id()));
    const std::string claims = fmt::format(
        R"({{"iss":"{}","aud":"{}","sub":"stranger","scope":"read","iat":{},"exp":{}}})", argv[0],
        argv[1], now, now + 7200);
    std::cout << header << '.' << base64url(claims) << '.' << signature << '\n';
  }
  return 0;
}

// keys DATA_DIR COUNT: a line "key id digest hint" for each; whoever asked stores them.
int make_keys(char** argv) {
  const std::string directory = argv[0];
  auto database = store::Database::open(directory + "/kubiya.db");
  if (!database) return 2;
  store::Meta meta(**database);
  const auto pepper = app::open_key_pepper(directory, meta);
  if (!pepper) return 2;
  for (long i = std::atol(argv[1]); i > 0; --i) {
    const identity::NewKey key = identity::make_key(*pepper);
    std::cout << key.key.reveal() << ' ' << key.id << ' ' << key.digest << ' ' << key.hint << '\n';
  }
  return 0;
}

// One raw verification per request of the presented token, nothing else.
class VerifyOnly final : public http::Handler {
 public:
  VerifyOnly(const std::string& pem, std::size_t bytes) : key_(pem), body_(bytes, 'x') {}
  void handle(const http::Request& request, http::Responder responder) override {
    const std::string_view authorization = request.header("authorization");
    const std::string_view token =
        authorization.substr(std::min<std::size_t>(7, authorization.size()));
    const auto dot = token.rfind('.');
    http::Response response;
    const auto signature =
        dot == std::string_view::npos ? std::nullopt : unbase64url(token.substr(dot + 1));
    const bool good =
        signature && key_.verify(crypto::Algorithm::rs256, token.substr(0, dot), *signature);
    response.status = good ? 200 : 401;
    response.body = body_;
    responder.send(std::move(response));
  }
  void admit(const http::Request&, Admission decide) override { decide(nullptr); }

 private:
  bench::RawKey key_;
  std::string body_;
};

// verify-server KEY PORT BYTES
int verify_server(char** argv) {
  VerifyOnly handler(slurp(argv[0]), static_cast<std::size_t>(std::atol(argv[2])));
  http::ServerOptions options;
  options.port = static_cast<std::uint16_t>(std::atoi(argv[1]));
  options.threads = 1;
  auto server = http::Server::open(options, handler);
  if (!server) {
    std::fprintf(stderr, "%s\n", server.error().message.c_str());
    return 2;
  }
  (*server)->start();
  pause();
  return 0;
}

// group-commit FILE BATCH SECONDS: records per second, BATCH records of 400 bytes to a sync.
int group_commit(char** argv) {
  const int file = ::open(argv[0], O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0600);
  if (file < 0) return 2;
  const long batch = std::atol(argv[1]);
  const std::string bytes(static_cast<std::size_t>(batch) * 400, 'r');
  const auto end = Clock::now() + std::chrono::duration<double>(std::atof(argv[2]));
  const auto begin = Clock::now();
  long records = 0;
  while (Clock::now() < end) {
    if (::write(file, bytes.data(), bytes.size()) < 0 || ::fdatasync(file) != 0) return 2;
    records += batch;
  }
  const std::chrono::duration<double> took = Clock::now() - begin;
  fmt::print("{:.1f}\n", static_cast<double>(records) / took.count());
  ::close(file);
  ::unlink(argv[0]);
  return 0;
}

// spawn SECONDS: processes per second, one after the other.
int spawn_loop(char** argv) {
  const auto begin = Clock::now();
  const auto end = begin + std::chrono::duration<double>(std::atof(argv[0]));
  long count = 0;
  char shell[] = "sh", flag[] = "-c", command[] = "true";
  char* arguments[] = {shell, flag, command, nullptr};
  while (Clock::now() < end) {
    pid_t child = 0;
    if (posix_spawn(&child, "/bin/sh", nullptr, nullptr, arguments, environ) != 0) return 2;
    int status = 0;
    waitpid(child, &status, 0);
    ++count;
  }
  const std::chrono::duration<double> took = Clock::now() - begin;
  fmt::print("{:.1f}\n", static_cast<double>(count) / took.count());
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  std::signal(SIGPIPE, SIG_IGN);
  const std::string what = argc > 1 ? argv[1] : "";
  if (what == "tokens" && argc == 9) return make_tokens(argv + 2);
  if (what == "strangers" && argc == 5) return make_strangers(argv + 2);
  if (what == "keys" && argc == 4) return make_keys(argv + 2);
  if (what == "verify-cost" && argc == 4) return bench::verify_cost(argv + 2);
  if (what == "verify-server" && argc == 5) return verify_server(argv + 2);
  if (what == "group-commit" && argc == 5) return group_commit(argv + 2);
  if (what == "spawn" && argc == 3) return spawn_loop(argv + 2);
  std::fprintf(
      stderr,
      "usage: bench_tools tokens KEY KID ISSUER AUDIENCE SUBJECT COUNT SCOPES | strangers ISSUER "
      "AUDIENCE COUNT | keys DATA_DIR COUNT | verify-server KEY PORT BYTES | verify-cost "
      "ROUNDS MILLISECONDS | group-commit FILE BATCH SECONDS | spawn SECONDS\n");
  return 2;
}
