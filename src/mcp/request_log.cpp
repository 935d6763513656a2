// SPDX-License-Identifier: Apache-2.0
#include "mcp/request_log.h"

#include "base/encoding.h"
#include "base/log.h"

namespace kubiya::mcp {

namespace {

constexpr std::size_t kGatherBytes = 16 * 1024;
thread_local int this_loop = -1;
}  // namespace

void RequestLog::enter(int loop) { this_loop = loop; }

void RequestLog::line(const Exchange& x, int status, std::string_view reason, Mono now) {
  const bool refused = status >= 400;
  if (what_ == RequestLogging::none || (what_ == RequestLogging::refusals && !refused)) return;
  const Level level = status >= 500 ? Level::error : refused ? Level::warn : Level::info;
  if (!log::enabled(level)) return;
  const auto micros =
      std::chrono::duration_cast<std::chrono::microseconds>(now - x.request.received).count();
  const std::string path = printable(x.request.path, 128);
  const std::string method = printable(x.message.method, 64);
  const PrincipalFacts* who = x.principal ? &x.principal->facts() : nullptr;
  std::string own;
  std::string& text = this_loop >= 0 ? lines_[static_cast<std::size_t>(this_loop)] : own;
  log::append_line(
      text, level, "request",
      {{"request_id", x.request_id},
       {"peer", x.request.peer},
       {"http_method", printable(x.request.method, 16)},
       {"path", path},
       {"status", status},
       {"reason", reason},
       {"era", x.received ? std::string_view(x.message.version) : std::string_view("-")},
       {"method", method},
       {"tool", x.tool},
       {"tenant", who ? std::string_view(who->tenant) : std::string_view("-")},
       {"subject", who ? std::string_view(who->subject) : std::string_view("-")},
       {"duration_us", micros}});
  if (this_loop < 0 || text.size() > kGatherBytes) log::flush_lines(text);
}

void RequestLog::flush(int loop) { log::flush_lines(lines_[static_cast<std::size_t>(loop)]); }

}  // namespace kubiya::mcp
