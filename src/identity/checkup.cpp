// SPDX-License-Identifier: Apache-2.0
#include "identity/checkup.h"

#include <algorithm>
#include <array>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "base/encoding.h"
#include "base/json.h"
#include "http/outbound.h"
#include "identity/checkup_parts.h"
#include "identity/discovery.h"

namespace kubiya::identity {
namespace {

constexpr std::string_view kOidc = "/.well-known/openid-configuration";
constexpr std::string_view kWellKnown = "/.well-known/";

// The place of the document that this configuration takes, if it takes one.
struct Taken {
  std::size_t place = 0;
  Metadata metadata;
};

bool needs_keys(const IssuerOptions& options) {
  return options.tokens == TokenKind::jwt && options.jwks_uri.empty();
}

std::string_view expected_issuer(const IssuerOptions& options) {
  return options.document_issuer.empty() ? options.url : options.document_issuer;
}

Result<Metadata> read(const IssuerOptions& options, const Answered& document) {
  if (!document.answer) return fail(document.answer.error());
  if (document.answer->status != 200) return fail(Code::not_found, "no document");
  return read_metadata(document.answer->body, expected_issuer(options), needs_keys(options));
}

std::optional<Taken> take(const IssuerOptions& options, const std::vector<Answered>& documents,
                          std::size_t first, std::size_t last) {
  for (std::size_t i = first; i < std::min(last, documents.size()); ++i) {
    auto metadata = read(options, documents[i]);
    if (metadata) return Taken{i, std::move(*metadata)};
  }
  return {};
}

std::size_t asked(const IssuerOptions& options) {
  const auto urls = discovery_urls(options.url, options.form);
  return urls ? urls->size() : 0;
}

std::optional<std::string> issuer_of(const Answered& document) {
  if (!document.answer || document.answer->status != 200) return {};
  const auto parsed = parse_json(document.answer->body, {.depth = 16, .nodes = 10'000});
  if (!parsed || !parsed->is_object()) return {};
  const auto issuer = find_string(parsed->get_object(), "issuer");
  return issuer ? std::optional<std::string>(*issuer) : std::nullopt;
}

// What stands at the place tells the more, the higher.
int telling(const Answered& document) {
  if (!document.answer) return 1;
  const int status = document.answer->status;
  if (status == 200) return issuer_of(document) ? 5 : 3;
  return status == 404 ? 0 : status < 400 ? 4 : 2;
}

std::string provider_urls() {
  return "Auth0 https://TENANT.auth0.com/, Okta https://DOMAIN/oauth2/default, Google "
         "https://accounts.google.com, Entra ID https://login.microsoftonline.com/TENANT-ID/v2.0, "
         "Keycloak https://HOST/realms/REALM";
}

Finding no_document(const IssuerOptions& options, const Evidence& evidence) {
  const std::size_t cut = options.url.find(kWellKnown);
  if (cut != std::string::npos) {
    return {Severity::blocker, "document_url",
            "auth.server is the address of a document, not of the issuer",
            fmt::format("set auth.server to \"{}\"", printable(options.url.substr(0, cut), 200))};
  }
  std::vector<std::string> urls;
  urls.reserve(evidence.documents.size());
  for (const Answered& one : evidence.documents) urls.push_back(printable(one.url, 200));
  return {Severity::blocker, "no_document",
          fmt::format("there is no metadata document at {}", fmt::join(urls, " nor at ")),
          "set auth.server to the issuer, as the `iss` of its tokens has it: " + provider_urls()};
}

Finding other_issuer(const IssuerOptions& options, const Answered& document) {
  const std::string named = printable(issuer_of(document).value_or(""), 200);
  return {
      Severity::blocker, "issuer_mismatch",
      fmt::format("{} is of issuer \"{}\", the configuration says \"{}\"",
                  printable(document.url, 200), named, printable(expected_issuer(options), 200)),
      fmt::format("if that is your provider, set auth.server to \"{}\" exactly: tokens carry "
                  "it, and a slash at the end counts",
                  named)};
}

Finding unusable(const IssuerOptions& options, const Answered& document) {
  const auto metadata = read(options, document);
  if (const auto named = issuer_of(document); named && *named != expected_issuer(options)) {
    return other_issuer(options, document);
  }
  const std::string& type = document.answer->content_type;
  if (!issuer_of(document)) {
    return {Severity::blocker, "not_metadata",
            fmt::format("{} answers {} that is no metadata document", printable(document.url, 200),
                        type.empty() ? "something" : type),
            "open it in a browser: it must be JSON with a member `issuer`, without signing in. A "
            "web page means that auth.server is not the issuer: " +
                provider_urls()};
  }
  const std::string& why = metadata.error().message;
  return {Severity::blocker, "bad_metadata",
          fmt::format("{}: {}", printable(document.url, 200), why),
          options.tokens == TokenKind::jwt && !find_text(document, "jwks_uri")
              ? "a provider without published keys gives out opaque tokens: set auth.tokens to "
                "opaque, or auth.jwks_uri to where its keys are"
              : "have the provider publish it with https addresses of its own, as its tokens and "
                "keys must not be read on the way"};
}

bool oauth_finds(const IssuerOptions& options, const Answered& document) {
  const auto urls = discovery_urls(options.url, DiscoveryForm::oauth);
  return urls && std::find(urls->begin(), urls->end(), document.url) != urls->end();
}

Finding found_elsewhere(const IssuerOptions& options, const Answered& document) {
  return {Severity::blocker, "discovery_form",
          fmt::format("the metadata document is at {}, where auth.type {} does not look",
                      printable(document.url, 200),
                      options.form == DiscoveryForm::oidc ? "oidc" : "oauth"),
          oauth_finds(options, document)
              ? "set auth.type to oauth"
              : fmt::format("have the provider publish it at {}, or set auth.jwks_uri to \"{}\"",
                            printable(options.url, 200) + std::string(kOidc),
                            printable(find_text(document, "jwks_uri").value_or(""), 200))};
}

// What the configuration's own places say.
void check_documents(const IssuerOptions& options, const Evidence& evidence,
                     const std::optional<Taken>& taken, std::vector<Finding>& out) {
  const std::size_t own = asked(options);
  if (taken && taken->place < own) {
    out.push_back(
        {Severity::fine,
         "discovery",
         fmt::format("{} names this issuer", printable(evidence.documents[taken->place].url, 200)),
         {}});
    return;
  }
  Finding finding;
  if (taken) {
    finding = found_elsewhere(options, evidence.documents[taken->place]);
  } else {
    const auto& documents = evidence.documents;
    const auto best = std::max_element(
        documents.begin(), documents.end(),
        [](const Answered& a, const Answered& b) { return telling(a) < telling(b); });
    if (best == documents.end() || telling(*best) == 0) {
      finding = no_document(options, evidence);
    } else if (telling(*best) == 3 || telling(*best) == 5) {
      finding = unusable(options, *best);
    } else {
      finding = unanswered(options, *best, "the metadata document");
    }
  }
  // Keys whose place is configured are had without it.
  if (!options.jwks_uri.empty() && options.tokens == TokenKind::jwt) {
    finding.severity = Severity::warning;
    finding.found += "; tokens are verified all the same, with the keys of auth.jwks_uri";
  }
  out.push_back(std::move(finding));
}

void check_clock(const IssuerOptions& options, const Evidence& evidence,
                 std::vector<Finding>& out) {
  for (const Answered& one : evidence.documents) {
    if (!one.answer || !one.answer->date) continue;
    using std::chrono::seconds;
    const auto there = *one.answer->date + one.answer->age;
    const auto ahead = std::chrono::duration_cast<seconds>(evidence.now - there).count();
    const auto off = std::abs(ahead);
    if (off <= options.rules.leeway.count()) {
      out.push_back({Severity::fine,
                     "clock",
                     fmt::format("this machine's clock and the provider's are {} s apart", off),
                     {}});
      return;
    }
    out.push_back(
        {Severity::blocker, "clock_skew",
         fmt::format("this machine's clock is {} s {} the provider's; auth.leeway is {} s", off,
                     ahead > 0 ? "ahead of" : "behind", options.rules.leeway.count()),
         ahead > 0
             ? "set this machine's clock (chrony, systemd-timesyncd): tokens expire too early "
               "here"
             : "set this machine's clock (chrony, systemd-timesyncd): new tokens are not yet "
               "valid here"});
    return;
  }
}

void check_preset(const IssuerOptions& options, std::vector<Finding>& out) {
  const Provider guess = guess_provider(options.url);
  if (guess == Provider::other || options.rules.provider != Provider::other) return;
  const std::string_view name = to_string(guess);
  out.push_back({Severity::warning, "preset_missing",
                 fmt::format("no preset is set, and the address is one of the preset {}", name),
                 fmt::format("set auth.preset to {}: it knows where its tokens carry scopes, roles "
                             "and the person",
                             name)});
}

}  // namespace

std::string_view to_string(Severity severity) {
  switch (severity) {
    case Severity::fine:
      return "ok";
    case Severity::note:
      return "note";
    case Severity::warning:
      return "warning";
    case Severity::blocker:
      return "blocker";
  }
  return "";
}

Result<std::vector<std::string>> document_places(const IssuerOptions& options) {
  std::vector<std::string> places = TRY(discovery_urls(options.url, options.form));
  const auto add = [&places](std::string url) {
    if (std::find(places.begin(), places.end(), url) == places.end()) {
      places.push_back(std::move(url));
    }
  };
  for (const DiscoveryForm form : {DiscoveryForm::oidc, DiscoveryForm::oauth}) {
    for (std::string& url : TRY(discovery_urls(options.url, form))) add(std::move(url));
  }
  // MCP clients ask there too.
  std::string_view issuer = options.url;
  while (issuer.ends_with('/')) issuer.remove_suffix(1);
  const std::size_t path = std::min(issuer.find('/', issuer.find("://") + 3), issuer.size());
  add(fmt::format("{}{}{}", issuer.substr(0, path), kOidc, issuer.substr(path)));
  return places;
}

std::string keys_place(const IssuerOptions& options, const std::vector<Answered>& documents) {
  if (options.tokens == TokenKind::opaque) return {};
  if (!options.jwks_uri.empty()) return options.jwks_uri;
  const auto taken = take(options, documents, 0, documents.size());
  return taken ? taken->metadata.jwks_uri : std::string();
}

std::vector<Finding> check_up(const IssuerOptions& options, const Evidence& evidence) {
  std::vector<Finding> out;
  const auto taken = take(options, evidence.documents, 0, evidence.documents.size());
  check_documents(options, evidence, taken, out);
  if (options.tokens == TokenKind::opaque) {
    check_introspection(options, evidence, taken ? &taken->metadata : nullptr, out);
  } else {
    check_keys(options, evidence, out);
  }
  check_exchange(options, taken ? &evidence.documents[taken->place] : nullptr, out);
  check_clock(options, evidence, out);
  check_preset(options, out);
  check_audience(options, out);
  if (taken) check_sign_in(options, evidence.documents[taken->place], out);
  return out;
}

IssuerOptions fitting(const IssuerOptions& options, const Evidence& evidence) {
  IssuerOptions out = options;
  if (out.rules.provider == Provider::other) out.rules.provider = guess_provider(options.url);
  const std::size_t cut = out.url.find(kWellKnown);
  if (cut != std::string::npos) out.url.resize(cut);
  const auto taken = take(options, evidence.documents, 0, evidence.documents.size());
  if (taken) {
    if (taken->place >= asked(options) && oauth_finds(options, evidence.documents[taken->place])) {
      out.form = DiscoveryForm::oauth;
    }
    return out;
  }
  for (const Answered& document : evidence.documents) {
    const auto named = issuer_of(document);
    if (named && check_issuer_url(*named)) {
      out.url = printable(*named, 2048);
      return out;
    }
  }
  return out;
}

Provider guess_provider(std::string_view url) {
  const auto target = http::parse_target(url);
  if (!target) return Provider::other;
  const std::string_view host = target->host;
  struct Known {
    std::string_view ending;
    Provider provider;
  };
  constexpr std::array<Known, 8> kKnown{{{".auth0.com", Provider::auth0},
                                         {".okta.com", Provider::okta},
                                         {".oktapreview.com", Provider::okta},
                                         {".okta-emea.com", Provider::okta},
                                         {"accounts.google.com", Provider::google},
                                         {"login.microsoftonline.com", Provider::entra},
                                         {"login.microsoftonline.us", Provider::entra},
                                         {"login.partner.microsoftonline.cn", Provider::entra}}};
  for (const Known& known : kKnown) {
    const bool whole = !known.ending.starts_with('.');
    if (whole ? host == known.ending : host.ends_with(known.ending)) return known.provider;
  }
  return url.find("/realms/") != url.npos ? Provider::keycloak : Provider::other;
}

}  // namespace kubiya::identity
