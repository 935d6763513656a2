// SPDX-License-Identifier: Apache-2.0
#include "identity/issuer.h"

#include <algorithm>
#include <atomic>
#include <mutex>
#include <utility>

#include <fmt/format.h>

#include "base/encoding.h"
#include "base/log.h"
#include "http/outbound.h"
#include "identity/discovery.h"
#include "identity/issuer_files.h"

namespace kubiya::identity {
namespace {

constexpr std::size_t kMetadataBytesMax = 64 * 1024;
constexpr std::size_t kKeySetBytesMax = 256 * 1024;
constexpr std::size_t kWaitersMax = 256;
constexpr std::chrono::seconds kMaxAgeMin{60};
constexpr int kMaxAgeFactor = 12;
constexpr std::chrono::seconds kRetryMax{60};
constexpr std::string_view kFile = "file:";

using Waiter = std::function<void(bool)>;

struct Keys {
  std::shared_ptr<const KeySet> set;
  std::string text;
  std::chrono::seconds max_age{-1};
};

std::string host_of(std::string_view url) {
  const auto target = http::parse_target(url);
  return target ? target->host : std::string();
}

Result<Keys> parse_keys(std::string text, std::chrono::seconds max_age) {
  auto set = KeySet::parse(text);
  if (!set) return fail(std::move(set).error());
  return Keys{std::make_shared<const KeySet>(std::move(*set)), std::move(text), max_age};
}

Result<http::FetchResponse> require_ok(Result<http::FetchResponse> response, std::string_view url) {
  if (!response || response->status == 200) return response;
  const bool redirect = response->status >= 300 && response->status < 400;
  return fail(Code::unavailable,
              fmt::format("{} answered {}{}", printable(url, 200), response->status,
                          redirect ? " (redirects are not followed)" : ""));
}

// Everything that outlives the Issuer while an answer is under way.
class Core : public std::enable_shared_from_this<Core> {
 public:
  Core(IssuerOptions options, http::Client& client, const Clock& clock)
      : options_(with_document_issuer(std::move(options))), client_(client), clock_(clock) {}

  const IssuerOptions& options() const { return options_; }
  std::uint64_t epoch() const { return epoch_.load(std::memory_order_acquire); }

  void start() {
    if (auto good = check_options(); !good) {
      const std::lock_guard lock(mutex_);
      broken_ = true;
      problem_ = good.error().message;
      return;
    }
    load_cache();
    begin_if([](const Core&, Mono) { return true; });
  }

  // Nobody is called after this, and an answer under way changes nothing any more.
  void close() {
    std::vector<Waiter> dropped;
    const std::lock_guard lock(mutex_);
    closed_ = true;
    dropped.swap(waiters_);
  }

  std::shared_ptr<const KeySet> keys() const {
    const Mono now = clock_.mono();
    const std::lock_guard lock(mutex_);
    return fresh(now) ? keys_ : nullptr;
  }

  std::shared_ptr<const std::string> metadata() const {
    const std::lock_guard lock(mutex_);
    return metadata_;
  }

  std::string introspection_url() const {
    if (!options_.introspection.url.empty()) return options_.introspection.url;
    const std::lock_guard lock(mutex_);
    return introspection_endpoint_;
  }

  std::string exchange_url() const {
    if (!options_.exchange.url.empty()) return options_.exchange.url;
    const std::lock_guard lock(mutex_);
    return token_endpoint_;
  }

  void refetch(Waiter done) {
    bool begin = false;
    {
      const Mono now = clock_.mono();
      const std::lock_guard lock(mutex_);
      const bool wait = (fetching_ || may_refetch(now)) && waiters_.size() < kWaitersMax;
      if (wait) {
        waiters_.push_back(std::exchange(done, nullptr));
        // Reading a file would block the caller's event loop; tick() does it.
        if (is_file()) wanted_ = true;
        begin = !fetching_ && !is_file();
        if (begin) mark_begun(now);
      }
    }
    if (done) done(false);
    if (begin) fetch();
  }

  void tick() {
    forget_stale();
    begin_if([](const Core& core, Mono now) { return core.wanted_ || now >= core.next_refresh_; });
  }

  Issuer::Health health() const {
    const Mono now = clock_.mono();
    const std::lock_guard lock(mutex_);
    Issuer::Health out;
    out.ready = fresh(now);
    out.problem = problem_;
    if (keys_) {
      out.age = std::chrono::duration_cast<std::chrono::seconds>(now - fetched_);
      out.keys = out.ready ? keys_->size() : 0;
    }
    return out;
  }

 private:
  static IssuerOptions with_document_issuer(IssuerOptions options) {
    if (options.document_issuer.empty()) options.document_issuer = options.url;
    return options;
  }

  bool is_opaque() const { return options_.tokens == TokenKind::opaque; }
  bool is_file() const { return options_.jwks_uri.starts_with(kFile); }

  Result<> check_options() const {
    TRY_VOID(check_issuer_url(options_.url));
    if (!options_.jwks_uri.empty()) TRY_VOID(check_jwks_uri(options_.jwks_uri));
    for (const std::string* url : {&options_.introspection.url, &options_.exchange.url}) {
      if (!url->empty()) TRY_VOID(check_endpoint_url(*url));
    }
    return {};
  }

  // The functions from here to mark_begun() want mutex_ held.
  bool fresh(Mono now) const { return keys_ && now - fetched_ < options_.stale_max; }

  bool may_refetch(Mono now) const {
    if (broken_ || closed_) return false;
    if (!fresh(now)) return now >= next_refresh_;
    return now - begun_ >= options_.refetch_min;
  }

  void mark_begun(Mono now) {
    fetching_ = true;
    wanted_ = false;
    begun_ = now;
  }

  template <class Condition>
  void begin_if(Condition condition) {
    {
      const Mono now = clock_.mono();
      const std::lock_guard lock(mutex_);
      if (broken_ || closed_ || fetching_ || !condition(*this, now)) return;
      mark_begun(now);
    }
    fetch();
  }

  void forget_stale() {
    {
      const Mono now = clock_.mono();
      const std::lock_guard lock(mutex_);
      if (!usable_ || fresh(now)) return;
      usable_ = false;
      epoch_.fetch_add(1, std::memory_order_release);
    }
    log::error("signing keys are too old and no longer used", {{"issuer", options_.url}});
  }

  // One round: metadata when needed, then the key set. Exactly one finish() ends it.
  void fetch() {
    if (is_file()) return finish(read_key_file());
    if (metadata_is_due() || is_opaque()) return fetch_metadata(0);
    fetch_keys();
  }

  // An issuer whose tokens are opaque is ready when it is known where to ask.
  static Keys no_keys() {
    return Keys{std::make_shared<const KeySet>(), std::string(), std::chrono::seconds{-1}};
  }

  Result<Keys> read_key_file() const {
    const std::string path = options_.jwks_uri.substr(kFile.size());
    return parse_keys(TRY(read_text_file(path, kKeySetBytesMax)), std::chrono::seconds{-1});
  }

  // Also after a failure: the provider may have moved its keys.
  bool metadata_is_due() const {
    const Mono now = clock_.mono();
    const std::lock_guard lock(mutex_);
    return !metadata_ || failures_ > 0 ||
           now - metadata_fetched_ >= options_.refresh * kMaxAgeFactor;
  }

  http::FetchRequest request(std::string url, std::size_t bytes_max) const {
    http::FetchRequest out;
    out.allow_loopback =
        is_loopback_url(options_.url) || (url == options_.jwks_uri && is_loopback_url(url));
    out.url = std::move(url);
    out.bytes_max = bytes_max;
    out.allow_private = options_.allow_private;
    return out;
  }

  void fetch_metadata(std::size_t index) {
    const auto urls = discovery_urls(options_.url, options_.form);
    ASSERT(urls && index < urls->size(), "the URL was checked at start");
    const std::string url = (*urls)[index];
    const bool last = index + 1 == urls->size();
    client_.fetch(request(url, kMetadataBytesMax),
                  [weak = weak_from_this(), url, index, last](Result<http::FetchResponse> answer) {
                    const auto self = weak.lock();
                    if (!self) return;
                    auto taken = self->take_metadata(require_ok(std::move(answer), url));
                    if (taken && self->is_opaque()) return self->finish(no_keys());
                    if (taken) return self->fetch_keys();
                    if (!last) return self->fetch_metadata(index + 1);
                    self->without_metadata(taken.error());
                  });
  }

  Result<> take_metadata(Result<http::FetchResponse> answer) {
    if (!answer) return fail(std::move(answer).error());
    const bool needs_endpoint = is_opaque() && options_.introspection.url.empty();
    Metadata found = TRY(read_metadata(answer->body, options_.document_issuer, !is_opaque()));
    if (needs_endpoint && found.introspection_endpoint.empty()) {
      return fail(Code::invalid, "the metadata document has no introspection_endpoint");
    }
    const std::string uri = std::move(found.jwks_uri);
    const bool elsewhere = !uri.empty() && host_of(uri) != host_of(options_.url);
    {
      const Mono now = clock_.mono();
      const std::lock_guard lock(mutex_);
      metadata_problem_.clear();
      metadata_ = std::make_shared<const std::string>(std::move(answer->body));
      metadata_fetched_ = now;
      introspection_endpoint_ = std::move(found.introspection_endpoint);
      token_endpoint_ = std::move(found.token_endpoint);
      if (uri == jwks_uri_) return {};
      jwks_uri_ = uri;
    }
    if (elsewhere) {
      log::info("the issuer's keys are on another host",
                {{"issuer", options_.url}, {"jwks_uri", printable(uri, 200)}});
    }
    return {};
  }

  // Keys whose place is known can be had without the document.
  void without_metadata(const Error& error) {
    bool known = !options_.jwks_uri.empty();
    {
      const std::lock_guard lock(mutex_);
      metadata_problem_ = error.message;
      known = known || !jwks_uri_.empty();
    }
    if (is_opaque() && !introspection_url().empty()) return finish(no_keys());
    if (known && !is_opaque()) return fetch_keys();
    finish(fail(error));
  }

  void fetch_keys() {
    std::string url = options_.jwks_uri;
    if (url.empty()) {
      const std::lock_guard lock(mutex_);
      url = jwks_uri_;
    }
    client_.fetch(request(url, kKeySetBytesMax),
                  [weak = weak_from_this(), url](Result<http::FetchResponse> answer) {
                    const auto self = weak.lock();
                    if (self) self->finish(read_keys(require_ok(std::move(answer), url)));
                  });
  }

  static Result<Keys> read_keys(Result<http::FetchResponse> answer) {
    if (!answer) return fail(std::move(answer).error());
    return parse_keys(std::move(answer->body), answer->max_age);
  }

  void finish(Result<Keys> result) {
    std::vector<Waiter> waiters;
    bool changed = false;
    {
      const Mono now = clock_.mono();
      const std::lock_guard lock(mutex_);
      fetching_ = false;
      if (closed_) return;
      if (result) {
        changed = accept(std::move(*result), now);
      } else {
        reject(result.error(), now);
      }
      waiters.swap(waiters_);
    }
    report(result, changed);
    if (result) save_cache();
    for (const auto& waiter : waiters) waiter(result.has_value());
  }

  bool accept(Keys keys, Mono now) {
    const bool changed = !usable_ || keys.text != keys_text_;
    next_refresh_ = now + refresh_after(keys.max_age);
    keys_ = std::move(keys.set);
    keys_text_ = std::move(keys.text);
    fetched_ = now;
    usable_ = true;
    failures_ = 0;
    // Where the keys' place is configured, the document is a courtesy to clients.
    problem_ = options_.jwks_uri.empty() ? metadata_problem_ : std::string();
    if (changed) epoch_.fetch_add(1, std::memory_order_release);
    return changed;
  }

  void reject(const Error& error, Mono now) {
    constexpr int kDoublings = 6;
    const std::chrono::seconds wait{1 << std::min(failures_, kDoublings)};
    ++failures_;
    problem_ = error.message;
    next_refresh_ = now + std::min({wait, kRetryMax, options_.refresh});
  }

  // Before max-age, and early enough for a second try before the keys are too old.
  std::chrono::seconds refresh_after(std::chrono::seconds max_age) const {
    std::chrono::seconds wait = options_.refresh;
    if (max_age.count() >= 0) {
      wait = std::clamp(max_age - max_age / 10, kMaxAgeMin,
                        std::max(kMaxAgeMin, options_.refresh * kMaxAgeFactor));
    }
    return std::min(wait, std::max(options_.stale_max / 2, std::chrono::seconds{1}));
  }

  void report(const Result<Keys>& result, bool changed) const {
    if (!result) {
      log::warn("signing keys could not be fetched", {{"issuer", options_.url},
                                                      {"problem", result.error().message},
                                                      {"detail", result.error().detail}});
    } else if (changed) {
      log::info(is_opaque() ? "the issuer is asked about its tokens" : "signing keys are in use",
                {{"issuer", options_.url}, {"epoch", epoch()}});
      const auto set = keys();
      for (const std::string& problem : set ? set->skipped() : std::vector<std::string>()) {
        log::warn("a published key is not used", {{"issuer", options_.url}, {"problem", problem}});
      }
    }
  }

  void load_cache() {
    if (options_.cache_file.empty() || is_opaque()) return;
    const Wall wall = clock_.wall();
    auto cached =
        load_documents(options_.cache_file, options_.document_issuer, wall, options_.stale_max);
    if (!cached) {
      if (cached.error().code != Code::not_found) {
        log::warn("the issuer cache is not used",
                  {{"issuer", options_.url}, {"problem", cached.error().message}});
      }
      return;
    }
    auto keys = parse_keys(std::move(cached->key_set), std::chrono::seconds{-1});
    if (!keys) return;
    const Mono now = clock_.mono();
    const std::lock_guard lock(mutex_);
    accept(std::move(*keys), now - (wall - cached->saved));
    if (!cached->metadata.empty()) {
      metadata_ = std::make_shared<const std::string>(std::move(cached->metadata));
      jwks_uri_ = std::move(cached->jwks_uri);
      token_endpoint_ = std::move(cached->token_endpoint);
      metadata_fetched_ = fetched_;
    }
  }

  void save_cache() const {
    if (options_.cache_file.empty() || is_file() || is_opaque()) return;
    Documents documents;
    {
      const std::lock_guard lock(mutex_);
      documents.saved = clock_.wall();
      documents.key_set = keys_text_;
      documents.jwks_uri = jwks_uri_;
      if (metadata_) documents.metadata = *metadata_;
    }
    if (auto saved = save_documents(options_.cache_file, options_.document_issuer, documents);
        !saved) {
      log::warn("the issuer cache could not be written",
                {{"issuer", options_.url}, {"problem", saved.error().message}});
    }
  }

  const IssuerOptions options_;
  http::Client& client_;
  const Clock& clock_;
  std::atomic<std::uint64_t> epoch_{0};

  mutable std::mutex mutex_;  // guards all below; held for copies, never for I/O or callbacks
  std::shared_ptr<const KeySet> keys_;
  std::string keys_text_;
  Mono fetched_{};
  bool usable_ = false;  // keys_ as last announced by the epoch
  std::shared_ptr<const std::string> metadata_;
  std::string metadata_problem_;
  Mono metadata_fetched_{};
  std::string jwks_uri_;  // this and the next two from the document
  std::string introspection_endpoint_, token_endpoint_;
  std::string problem_ = "the first fetch has not finished";
  bool broken_ = false;  // options that can never work
  bool closed_ = false;
  bool fetching_ = false;
  bool wanted_ = false;
  Mono begun_{};
  Mono next_refresh_{};
  int failures_ = 0;
  std::vector<Waiter> waiters_;
};

class IssuerImpl final : public Issuer {
 public:
  IssuerImpl(std::shared_ptr<Core> core, http::Client& client, const Clock& clock)
      : core_(std::move(core)),
        introspector_(std::make_shared<Introspector>(options().introspection, options().rules,
                                                     options().allow_private, client, clock)),
        exchanger_(std::make_shared<TokenExchanger>(options().exchange, options().rules.issuer,
                                                    options().allow_private, client, clock)) {}
  ~IssuerImpl() override { core_->close(); }

  const IssuerOptions& options() const override { return core_->options(); }
  std::shared_ptr<const KeySet> keys() const override { return core_->keys(); }
  std::uint64_t epoch() const override { return core_->epoch(); }
  void refetch(std::function<void(bool)> done) override { core_->refetch(std::move(done)); }
  std::shared_ptr<const std::string> metadata() const override { return core_->metadata(); }
  std::string introspection_url() const override { return core_->introspection_url(); }
  void introspect(std::string_view token, Introspector::Done done, Trail* trail) override {
    introspector_->ask(core_->introspection_url(), token, std::move(done), trail);
  }
  std::string exchange_url() const override { return core_->exchange_url(); }
  void exchange(const Principal& who, const WantedToken& wanted,
                TokenExchanger::Done done) override {
    exchanger_->ask(core_->exchange_url(), who, wanted, std::move(done));
  }
  Health health() const override { return core_->health(); }
  void tick() override { core_->tick(); }

 private:
  std::shared_ptr<Core> core_;
  std::shared_ptr<Introspector> introspector_;
  std::shared_ptr<TokenExchanger> exchanger_;
};

}  // namespace

std::unique_ptr<Issuer> Issuer::open(IssuerOptions options, http::Client& client,
                                     const Clock& clock) {
  auto core = std::make_shared<Core>(std::move(options), client, clock);
  core->start();
  return std::make_unique<IssuerImpl>(std::move(core), client, clock);
}

}  // namespace kubiya::identity
