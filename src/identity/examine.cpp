// SPDX-License-Identifier: Apache-2.0
#include "identity/examine.h"

#include <future>
#include <memory>
#include <utility>

#include "base/ids.h"
#include "identity/discovery.h"
#include "identity/issuer_files.h"

namespace kubiya::identity {
namespace {

constexpr std::string_view kFile = "file:";
constexpr std::size_t kKeySetBytesMax = 256 * 1024;
// A page that is certainly not the provider's.
constexpr std::string_view kForeignOrigin = "https://client.example";

using Answer = std::future<Result<http::FetchResponse>>;

class Examination {
 public:
  Examination(const IssuerOptions& options, http::Client& client, const Clock& clock,
              std::chrono::milliseconds patience)
      : options_(options), client_(client), clock_(clock), patience_(patience) {}

  Result<Evidence> run() {
    Evidence out;
    const auto places = TRY(document_places(options_));
    std::vector<Answer> asked;
    asked.reserve(places.size());
    for (const std::string& url : places) asked.push_back(ask(url));
    for (std::size_t i = 0; i < places.size(); ++i) {
      out.documents.push_back({places[i], await(asked[i])});
    }
    out.now = clock_.wall();
    const std::string keys = keys_place(options_, out.documents);
    if (!keys.empty()) out.keys = Answered{keys, fetch_keys(keys)};
    if (options_.tokens == TokenKind::opaque) out.introspection = ask_about_nothing(out);
    return out;
  }

 private:
  Answer ask(const std::string& url) {
    const auto promise = std::make_shared<std::promise<Result<http::FetchResponse>>>();
    http::FetchRequest request;
    request.url = url;
    request.origin = kForeignOrigin;
    request.bytes_max = kKeySetBytesMax;
    request.allow_private = options_.allow_private;
    request.allow_loopback =
        is_loopback_url(options_.url) || (url == options_.jwks_uri && is_loopback_url(url));
    client_.fetch(std::move(request), [promise](Result<http::FetchResponse> answer) {
      promise->set_value(std::move(answer));
    });
    return promise->get_future();
  }

  Result<http::FetchResponse> await(Answer& answer) const {
    if (answer.wait_for(patience_) == std::future_status::ready) return answer.get();
    return fail(Code::timeout, "there was no answer in time");
  }

  Result<http::FetchResponse> fetch_keys(const std::string& url) {
    if (url.starts_with(kFile)) {
      http::FetchResponse out;
      out.body = TRY(read_text_file(url.substr(kFile.size()), kKeySetBytesMax));
      out.status = 200;
      return out;
    }
    Answer answer = ask(url);
    return await(answer);
  }

  // With this server's own credentials, as it would ask about a caller's token.
  std::optional<Checked<TokenFacts>> ask_about_nothing(const Evidence& evidence) {
    const std::string url = introspection_place(evidence);
    if (url.empty()) return {};
    const auto introspector = std::make_shared<Introspector>(
        options_.introspection, options_.rules, options_.allow_private, client_, clock_);
    const auto promise = std::make_shared<std::promise<Checked<TokenFacts>>>();
    introspector->ask(url, random_id(), [promise](Checked<TokenFacts> facts) {
      promise->set_value(std::move(facts));
    });
    auto answer = promise->get_future();
    if (answer.wait_for(patience_) == std::future_status::ready) return answer.get();
    return Checked<TokenFacts>(fail(Reason::introspection_unavailable, "no answer in time"));
  }

  std::string introspection_place(const Evidence& evidence) const {
    if (!options_.introspection.url.empty()) return options_.introspection.url;
    for (const Answered& document : evidence.documents) {
      if (!document.answer || document.answer->status != 200) continue;
      const auto metadata = read_metadata(
          document.answer->body,
          options_.document_issuer.empty() ? options_.url : options_.document_issuer, false);
      if (metadata) return metadata->introspection_endpoint;
    }
    return {};
  }

  const IssuerOptions& options_;
  http::Client& client_;
  const Clock& clock_;
  const std::chrono::milliseconds patience_;
};

}  // namespace

Result<Evidence> examine(const IssuerOptions& options, http::Client& client, const Clock& clock,
                         std::chrono::milliseconds patience) {
  return Examination(options, client, clock, patience).run();
}

}  // namespace kubiya::identity
