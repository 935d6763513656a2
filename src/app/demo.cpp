// SPDX-License-Identifier: Apache-2.0
#include "app/demo.h"

#include <csignal>
#include <cstdio>
#include <filesystem>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <fmt/format.h>

#include "app/application.h"
#include "app/cli.h"
#include "app/config_files.h"
#include "app/demo_check.h"
#include "base/ids.h"

namespace kubiya::app {
namespace {

constexpr std::chrono::hours kTokenLifetime{8};

// A port nobody listens on now. Somebody else may take it before we do; the start then says so.
std::uint16_t free_port() {
  const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  const bool bound = ::bind(fd, reinterpret_cast<const sockaddr*>(&address), size) == 0 &&
                     ::getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size) == 0;
  if (fd >= 0) ::close(fd);
  return bound ? ntohs(address.sin_port) : 0;
}

struct Ports {
  std::uint16_t server;
  std::uint16_t issuer;
};

Ports choose_ports(const DemoOptions& options) {
  Ports ports{};
  ports.server = options.port.value_or(options.check ? free_port() : 8'000);
  ports.issuer = options.issuer_port.value_or(
      options.check ? free_port() : static_cast<std::uint16_t>(ports.server + 1));
  return ports;
}

// The demonstration is the same everywhere: the environment has no say.
Result<Config> demo_config(const DemoOptions& options, Ports ports) {
  const std::string level = !options.log_level.empty() ? options.log_level
                            : options.check            ? "error"
                                                       : "info";
  Sources sources;
  sources.flags = {{"server.host", "localhost"},
                   {"server.port", std::to_string(ports.server)},
                   {"auth.server", "http://localhost:" + std::to_string(ports.issuer)},
                   {"auth.type", "oidc"},
                   {"data_dir", options.data_dir},
                   {"workflow.directory", options.workflows},
                   {"log.level", level}};
  return load_config(sources);
}

Result<std::unique_ptr<DemoIssuer>> open_issuer(const Config& config, Ports ports,
                                                const Clock& clock) {
  DemoIssuerOptions options;
  options.users = TRY(open_demo_users(config));
  options.port = ports.issuer;
  options.key_file = config.data_dir + "/demo/issuer.pem";
  options.audience = config.public_url + config.mcp_path;
  return DemoIssuer::open(std::move(options), clock);
}

void block_stop_signals() {
  sigset_t signals;
  sigemptyset(&signals);
  for (const int signal : {SIGTERM, SIGINT, SIGHUP}) sigaddset(&signals, signal);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
}

Result<int> serve_demo(const DemoOptions& options) {
  const Ports ports = choose_ports(options);
  const Config config = TRY(demo_config(options, ports));
  // serve() waits for these; the issuer's thread, started first, must not be killed by them.
  block_stop_signals();
  const SystemClock clock;
  const std::unique_ptr<DemoIssuer> issuer = TRY(open_issuer(config, ports, clock));
  const DemoTokens tokens{TRY(issuer->token("deployer", kTokenLifetime)),
                          TRY(issuer->token("viewer", kTokenLifetime))};
  TRY_VOID(write_private_file(config.data_dir + "/demo.env",
                              demo_environment(config, issuer->url(), tokens)));
  issuer->start();
  ServeHooks hooks;
  hooks.ready = [&](std::uint16_t) {
    fmt::print("{}", demo_screen(config, *issuer, tokens));
    std::fflush(stdout);
  };
  return serve(config, hooks);
}

// A fresh directory below the data directory: removed when all is well, kept for a look otherwise.
Result<int> check_demo(DemoOptions options) {
  options.data_dir += "/check-" + random_id().substr(0, 8);
  const Ports ports = choose_ports(options);
  if (ports.server == 0 || ports.issuer == 0) return fail(Code::unavailable, "no port is free");
  const Config config = TRY(demo_config(options, ports));
  log::set_level(config.log_level);
  std::signal(SIGPIPE, SIG_IGN);
  const SystemClock clock;
  const std::unique_ptr<DemoIssuer> issuer = TRY(open_issuer(config, ports, clock));
  issuer->start();
  const std::unique_ptr<Application> server = TRY(Application::open(config));
  server->start();
  const bool passed = check_demo_server(config, *issuer);
  server->stop();
  if (!passed) {
    fmt::print("FAILED. The files are in {}.\n", config.data_dir);
    return cli::kFailed;
  }
  std::error_code ignored;
  std::filesystem::remove_all(config.data_dir, ignored);
  fmt::print("All checks passed.\n");
  return cli::kDone;
}

}  // namespace

std::string demo_environment(const Config& config, const std::string& issuer_url,
                             const DemoTokens& tokens) {
  return fmt::format("BASE_URL='{}'\nISSUER_URL='{}'\nDEPLOYER_TOKEN='{}'\nVIEWER_TOKEN='{}'\n",
                     config.public_url, issuer_url, tokens.deployer.reveal(),
                     tokens.viewer.reveal());
}

int demo(const DemoOptions& options) {
  // Not used here, and no business of the steps either.
  (void)cli::take_environment();
  const Result<int> status = options.check ? check_demo(options) : serve_demo(options);
  return status ? *status : cli::complain(status.error());
}

}  // namespace kubiya::app
