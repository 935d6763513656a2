// SPDX-License-Identifier: Apache-2.0
#include "mcp/request_log.h"

#include <algorithm>

#include "base/encoding.h"
#include "base/log.h"
#include "mcp/secret_page.h"

namespace kubiya::mcp {

namespace {

constexpr std::size_t kGatherBytes = 16 * 1024;
constexpr std::chrono::seconds kCountsEvery{1};
thread_local int this_loop = -1;

Level level_of(int status) {
  return status >= 500 ? Level::error : status >= 400 ? Level::warn : Level::info;
}

}  // namespace

RequestLog::RequestLog(RequestLogging what, int loops, unsigned strangers_per_second)
    : what_(what) {
  const double rate = strangers_per_second;
  for (int i = 0; i < loops; ++i) loops_.push_back({{}, TokenBucket(rate, rate), {}, {}});
}

void RequestLog::enter(int loop) { this_loop = loop; }

bool RequestLog::wanted(int status) const {
  if (what_ == RequestLogging::none) return false;
  if (what_ == RequestLogging::refusals && status < 400) return false;
  return log::enabled(level_of(status));
}

// A stranger is answered on the loop, so the few lines from elsewhere need no bound.
bool RequestLog::may_tell_stranger(std::string_view reason, Mono now) {
  if (this_loop < 0) return true;
  PerLoop& loop = loops_[static_cast<std::size_t>(this_loop)];
  if (loop.strangers.take(now)) return true;
  const auto found = std::find_if(loop.untold.begin(), loop.untold.end(),
                                  [&](const auto& entry) { return entry.first == reason; });
  if (found == loop.untold.end()) {
    loop.untold.emplace_back(reason, 1);
  } else {
    ++found->second;
  }
  return false;
}

std::string& RequestLog::gathered(std::string& own) {
  return this_loop >= 0 ? loops_[static_cast<std::size_t>(this_loop)].lines : own;
}

void RequestLog::hand_over(std::string& lines) {
  if (this_loop < 0 || lines.size() > kGatherBytes) log::flush_lines(lines);
}

void RequestLog::line(const Exchange& x, int status, std::string_view reason, Mono now) {
  if (!wanted(status)) return;
  const PrincipalFacts* who = x.principal ? &x.principal->facts() : nullptr;
  if (!who && !may_tell_stranger(reason, now)) return;
  const auto micros =
      std::chrono::duration_cast<std::chrono::microseconds>(now - x.request.received).count();
  const std::string path = printable_redacted(path_to_log(x.request.path), 128);
  const std::string method = printable_redacted(x.message.method, 64);
  const std::string_view trace = x.message.traceparent;
  std::string own;
  std::string& text = gathered(own);
  log::append_line(
      text, level_of(status), "request",
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
       {"duration_us", micros},
       {trace.empty() ? "" : "trace_id", trace.empty() ? trace : trace_id(trace)},
       {trace.empty() ? "" : "parent_id", trace.empty() ? trace : parent_id(trace)}});
  hand_over(text);
}

void RequestLog::broken(const http::Refusal& refusal, Mono now) {
  if (!wanted(refusal.status) || !may_tell_stranger(refusal.reason, now)) return;
  std::string own;
  std::string& text = gathered(own);
  log::append_line(
      text, level_of(refusal.status), "no request",
      {{"peer", refusal.peer}, {"status", refusal.status}, {"reason", refusal.reason}});
  hand_over(text);
}

void RequestLog::tell_counts(PerLoop& loop) {
  for (const auto& [reason, count] : loop.untold) {
    log::append_line(loop.lines, Level::warn, "more requests of unknown callers",
                     {{"reason", reason}, {"more", count}});
  }
  loop.untold.clear();
}

void RequestLog::flush(int index, Mono now) {
  PerLoop& loop = loops_[static_cast<std::size_t>(index)];
  if (now >= loop.next_counts) {
    tell_counts(loop);
    loop.next_counts = now + kCountsEvery;
  }
  log::flush_lines(loop.lines);
}

void RequestLog::flush_all() {
  for (PerLoop& loop : loops_) {
    tell_counts(loop);
    log::flush_lines(loop.lines);
  }
}

}  // namespace kubiya::mcp
