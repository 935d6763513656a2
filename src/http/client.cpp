// SPDX-License-Identifier: Apache-2.0
#include "http/client.h"

#include <curl/curl.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <mutex>
#include <string_view>
#include <thread>
#include <unordered_map>
#include <utility>

#include <fmt/format.h>

#include "base/encoding.h"
#include "http/outbound.h"

namespace kubiya::http {
namespace {

constexpr std::size_t kShownHeader = 300;

struct EasyDelete {
  void operator()(CURL* easy) const { curl_easy_cleanup(easy); }
};
struct MultiDelete {
  void operator()(CURLM* multi) const { curl_multi_cleanup(multi); }
};
struct ListDelete {
  // One of the lines may be a credential.
  void operator()(curl_slist* list) const {
    for (curl_slist* at = list; at != nullptr; at = at->next) {
      wipe_memory(at->data, std::string_view(at->data).size());
    }
    curl_slist_free_all(list);
  }
};

// One exchange. Lives at one address: libcurl holds pointers into it.
struct Transfer {
  FetchRequest request;
  Client::Done done;
  std::string origin;
  AddressRule rule;
  FetchResponse response;
  std::unique_ptr<curl_slist, ListDelete> headers;
  std::unique_ptr<CURL, EasyDelete> easy;
  char error[CURL_ERROR_SIZE] = {};
  bool address_refused = false;
  bool too_large = false;
  bool encoded = false;

  void finish(Result<FetchResponse> result) {
    if (done) std::exchange(done, nullptr)(std::move(result));
  }
};
using TransferPtr = std::unique_ptr<Transfer>;

std::size_t on_body(char* data, std::size_t size, std::size_t count, void* user) {
  auto& transfer = *static_cast<Transfer*>(user);
  const std::size_t bytes = size * count;
  if (bytes > transfer.request.bytes_max - transfer.response.body.size()) {
    transfer.too_large = true;
    return 0;
  }
  transfer.response.body.append(data, bytes);
  return bytes;
}

std::size_t on_header(char* data, std::size_t size, std::size_t count, void* user) {
  auto& transfer = *static_cast<Transfer*>(user);
  const std::string_view line(data, size * count);
  const std::size_t colon = line.find(':');
  if (colon == std::string_view::npos) return line.size();
  const std::string_view name = line.substr(0, colon);
  std::string_view value = line.substr(colon + 1);
  while (!value.empty() && (value.back() == '\r' || value.back() == '\n')) value.remove_suffix(1);
  value = trim(value);
  if (iequals(name, "cache-control")) {
    const auto age = parse_max_age(value);
    auto& known = transfer.response.max_age;
    if (age.count() >= 0) known = known.count() < 0 ? age : std::min(known, age);
  } else if (iequals(name, "retry-after")) {
    transfer.response.retry_after = parse_seconds(value);
  } else if (iequals(name, "date")) {
    const std::time_t seconds = curl_getdate(std::string(value).c_str(), nullptr);
    if (seconds >= 0) transfer.response.date = from_unix_ms(std::int64_t{seconds} * 1000);
  } else if (iequals(name, "age")) {
    transfer.response.age = std::max(parse_seconds(value), std::chrono::seconds{0});
  } else if (iequals(name, "location")) {
    transfer.response.location = printable(value, kShownHeader);
  } else if (iequals(name, "content-type")) {
    transfer.response.content_type = printable(value, kShownHeader);
  } else if (iequals(name, "access-control-allow-origin")) {
    transfer.response.allowed_origin = printable(value, kShownHeader);
  } else if (iequals(name, "content-encoding") && !iequals(value, "identity")) {
    transfer.encoded = true;  // never asked for, never unpacked
    return 0;
  }
  return line.size();
}

// Called with the resolved address, right before connecting to exactly it.
curl_socket_t on_open(void* user, curlsocktype, curl_sockaddr* address) {
  auto& transfer = *static_cast<Transfer*>(user);
  std::string_view bytes;
  if (address->family == AF_INET) {
    const auto* v4 = reinterpret_cast<const sockaddr_in*>(&address->addr);
    bytes = {reinterpret_cast<const char*>(&v4->sin_addr), 4};
  } else if (address->family == AF_INET6) {
    const auto* v6 = reinterpret_cast<const sockaddr_in6*>(&address->addr);
    bytes = {reinterpret_cast<const char*>(&v6->sin6_addr), 16};
  }
  if (!may_connect(transfer.rule, bytes)) {
    transfer.address_refused = true;
    return CURL_SOCKET_BAD;
  }
  return ::socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
}

Error describe(const Transfer& transfer, CURLcode code) {
  const auto& origin = transfer.origin;
  const std::string detail = printable(transfer.error, 200);
  if (transfer.too_large || code == CURLE_FILESIZE_EXCEEDED) {
    return {
        Code::too_large,
        fmt::format("the answer of {} is larger than {} bytes", origin, transfer.request.bytes_max),
        {}};
  }
  if (transfer.encoded) {
    return {Code::invalid, fmt::format("{} answered compressed without being asked", origin), {}};
  }
  if (transfer.address_refused) return address_refused(origin);
  long os_error = 0;
  curl_easy_getinfo(transfer.easy.get(), CURLINFO_OS_ERRNO, &os_error);
  switch (code) {
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_COULDNT_RESOLVE_PROXY:
      return {Code::unavailable, fmt::format("the host name of {} cannot be resolved", origin),
              detail};
    case CURLE_COULDNT_CONNECT:
      if (os_error == ECONNREFUSED) {
        return {Code::unavailable,
                fmt::format("connection refused by {} (is the identity provider running?)", origin),
                detail};
      }
      return {Code::unavailable, fmt::format("cannot connect to {}", origin), detail};
    case CURLE_OPERATION_TIMEDOUT:
      return {Code::timeout, fmt::format("{} did not answer in time", origin), detail};
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CONNECT_ERROR:
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_SSL_ISSUER_ERROR:
      return {Code::untrusted,
              fmt::format("no trusted TLS connection to {} (check its certificate)", origin),
              detail};
    default:
      return {Code::unavailable, fmt::format("no usable answer from {}", origin), detail};
  }
}

class CurlClient final : public Client {
 public:
  CurlClient(ClientOptions options, CURLM* multi) : options_(std::move(options)), multi_(multi) {
    thread_ = std::thread([this] { serve(); });
  }

  ~CurlClient() override {
    stopping_.store(true, std::memory_order_release);
    curl_multi_wakeup(multi_.get());
    thread_.join();
  }

  void fetch(FetchRequest request, Done done) override {
    auto transfer = std::make_unique<Transfer>();
    transfer->request = std::move(request);
    transfer->done = std::move(done);
    {
      const std::lock_guard lock(mutex_);
      incoming_.push_back(std::move(transfer));
    }
    curl_multi_wakeup(multi_.get());
  }

 private:
  void serve() {
    constexpr int kIdleMs = 60'000;  // wakeup() ends it earlier
    while (!stopping_.load(std::memory_order_acquire)) {
      admit();
      int running = 0;
      curl_multi_perform(multi_.get(), &running);
      reap();
      curl_multi_poll(multi_.get(), nullptr, 0, kIdleMs, nullptr);
    }
    cancel_all();
  }

  void admit() {
    for (auto& transfer : take_incoming()) {
      if (running_.size() >= options_.in_flight_max) {
        transfer->finish(fail(Code::busy, "too many outbound requests at once"));
        continue;
      }
      if (auto ready = prepare(*transfer); !ready) {
        transfer->finish(fail(std::move(ready).error()));
        continue;
      }
      CURL* const easy = transfer->easy.get();
      if (curl_multi_add_handle(multi_.get(), easy) != CURLM_OK) {
        transfer->finish(fail(Code::internal, "an outbound request could not be started"));
        continue;
      }
      running_.emplace(easy, std::move(transfer));
    }
  }

  std::vector<TransferPtr> take_incoming() {
    const std::lock_guard lock(mutex_);
    return std::exchange(incoming_, {});
  }

  Result<> prepare(Transfer& transfer) const {
    const Target target = TRY(check_url(transfer.request));
    const bool direct = options_.proxy.empty() || is_loopback(target);
    transfer.origin = target.origin;
    transfer.rule = direct ? target.rule : AddressRule::any;
    transfer.easy.reset(curl_easy_init());
    const std::string accept = "Accept: " + transfer.request.accept;
    transfer.headers.reset(curl_slist_append(nullptr, accept.c_str()));
    if (!transfer.easy || !transfer.headers || !add_request_headers(transfer) ||
        !set_options(transfer, target, direct ? std::string() : options_.proxy)) {
      return fail(Code::internal, "an outbound request could not be prepared");
    }
    return {};
  }

  static bool add_request_headers(Transfer& transfer) {
    const FetchRequest& request = transfer.request;
    const auto add = [&](const char* line) {
      return curl_slist_append(transfer.headers.get(), line) != nullptr;
    };
    // A form is small: asking whether it may be sent would only cost a round trip.
    if (request.form && !add("Expect:")) return false;
    if (!request.origin.empty() && !add(("Origin: " + request.origin).c_str())) return false;
    if (!request.authorization) return true;
    std::string line = "Authorization: ";
    line += request.authorization->reveal();
    const bool added = add(line.c_str());
    wipe_memory(line.data(), line.size());
    return added;
  }

  bool set_options(Transfer& transfer, const Target& target, const std::string& proxy) const {
    CURL* const easy = transfer.easy.get();
    bool good = true;
    const auto set = [&](CURLoption option, auto value) {
      good = good && curl_easy_setopt(easy, option, value) == CURLE_OK;
    };
    set(CURLOPT_URL, transfer.request.url.c_str());
    set(CURLOPT_PROTOCOLS_STR, target.plain ? "http" : "https");
    set(CURLOPT_REDIR_PROTOCOLS_STR, "https");
    set(CURLOPT_FOLLOWLOCATION, 0L);
    set(CURLOPT_PROXY, proxy.c_str());
    set(CURLOPT_NOPROXY, "");
    set(CURLOPT_NETRC, static_cast<long>(CURL_NETRC_IGNORED));
    set(CURLOPT_HTTP_VERSION, static_cast<long>(CURL_HTTP_VERSION_1_1));
    set(CURLOPT_HTTP_CONTENT_DECODING, 0L);
    set(CURLOPT_HTTPHEADER, transfer.headers.get());
    set(CURLOPT_USERAGENT, "kubiya-mcp");
    if (const auto& form = transfer.request.form) {
      set(CURLOPT_POST, 1L);
      set(CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(form->size()));
      set(CURLOPT_POSTFIELDS, form->reveal().data());  // not copied
    }
    set(CURLOPT_SSL_VERIFYPEER, 1L);
    set(CURLOPT_SSL_VERIFYHOST, 2L);
    set(CURLOPT_SSLVERSION, static_cast<long>(CURL_SSLVERSION_TLSv1_2));
    if (!options_.ca_file.empty()) set(CURLOPT_CAINFO, options_.ca_file.c_str());
    set(CURLOPT_CONNECTTIMEOUT_MS, static_cast<long>(options_.connect_timeout.count()));
    set(CURLOPT_TIMEOUT_MS, static_cast<long>(options_.total_timeout.count()));
    set(CURLOPT_MAXFILESIZE_LARGE, static_cast<curl_off_t>(transfer.request.bytes_max));
    set(CURLOPT_NOSIGNAL, 1L);
    // A resolver that hangs is left behind instead of waited for.
    set(CURLOPT_QUICK_EXIT, 1L);
    // A connection is never shared: its address was checked for one request's rule.
    set(CURLOPT_FRESH_CONNECT, 1L);
    set(CURLOPT_FORBID_REUSE, 1L);
    set(CURLOPT_OPENSOCKETFUNCTION, &on_open);
    set(CURLOPT_OPENSOCKETDATA, &transfer);
    set(CURLOPT_WRITEFUNCTION, &on_body);
    set(CURLOPT_WRITEDATA, &transfer);
    set(CURLOPT_HEADERFUNCTION, &on_header);
    set(CURLOPT_HEADERDATA, &transfer);
    set(CURLOPT_ERRORBUFFER, transfer.error);
    return good;
  }

  void reap() {
    int left = 0;
    while (const CURLMsg* message = curl_multi_info_read(multi_.get(), &left)) {
      if (message->msg != CURLMSG_DONE) continue;
      CURL* const easy = message->easy_handle;
      const CURLcode code = message->data.result;
      curl_multi_remove_handle(multi_.get(), easy);
      auto node = running_.extract(easy);
      complete(*node.mapped(), code);
    }
  }

  static void complete(Transfer& transfer, CURLcode code) {
    if (code != CURLE_OK) return transfer.finish(fail(describe(transfer, code)));
    long status = 0;
    curl_easy_getinfo(transfer.easy.get(), CURLINFO_RESPONSE_CODE, &status);
    transfer.response.status = static_cast<int>(status);
    transfer.finish(std::move(transfer.response));
  }

  void cancel_all() {
    const auto cancelled = [] { return fail(Code::cancelled, "the server is shutting down"); };
    for (auto& [easy, transfer] : running_) {
      curl_multi_remove_handle(multi_.get(), easy);
      transfer->finish(cancelled());
    }
    running_.clear();
    for (auto batch = take_incoming(); !batch.empty(); batch = take_incoming()) {
      for (auto& transfer : batch) transfer->finish(cancelled());
    }
  }

  const ClientOptions options_;
  std::unique_ptr<CURLM, MultiDelete> multi_;
  std::unordered_map<CURL*, TransferPtr> running_;  // the thread's own
  std::mutex mutex_;
  std::vector<TransferPtr> incoming_;  // guarded by mutex_
  std::atomic<bool> stopping_{false};
  std::thread thread_;
};

}  // namespace

Result<std::unique_ptr<Client>> Client::open(ClientOptions options) {
  static const CURLcode initialised = curl_global_init(CURL_GLOBAL_DEFAULT);
  if (initialised != CURLE_OK) return fail(Code::internal, "libcurl cannot be initialised");
  if (!options.ca_file.empty() && ::access(options.ca_file.c_str(), R_OK) != 0) {
    return fail(Code::invalid, fmt::format("the CA file {} cannot be read", options.ca_file));
  }
  CURLM* const multi = curl_multi_init();
  if (!multi) return fail(Code::internal, "libcurl cannot be initialised");
  return std::make_unique<CurlClient>(std::move(options), multi);
}

}  // namespace kubiya::http
