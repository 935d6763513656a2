// SPDX-License-Identifier: Apache-2.0
#include "app/diagnosis.h"

#include <algorithm>

#include <fmt/format.h>

#include "base/json.h"
#include "base/yaml.h"

namespace kubiya::app {
namespace {

using identity::Finding;
using identity::IssuerOptions;
using identity::Provider;
using identity::Severity;

std::size_t count(const std::vector<Diagnosis>& diagnoses, Severity severity) {
  std::size_t out = 0;
  for (const Diagnosis& one : diagnoses) {
    out += static_cast<std::size_t>(
        std::count_if(one.findings.begin(), one.findings.end(),
                      [severity](const Finding& f) { return f.severity == severity; }));
  }
  return out;
}

std::string counted(std::size_t number, std::string_view what) {
  return fmt::format("{} {}{}", number, what, number == 1 ? "" : "s");
}

bool needs_client_id(Provider provider) {
  return provider == Provider::google || provider == Provider::entra ||
         provider == Provider::keycloak;
}

// `url_key`: "server" of `auth`, "url" in the list of issuers.
json::object settings(const IssuerOptions& options, std::string_view url_key) {
  json::object out;
  if (!options.name.empty()) out["name"] = options.name;
  out[url_key] = options.url;
  out["type"] = options.form == identity::DiscoveryForm::oidc ? "oidc" : "oauth";
  if (options.rules.provider != Provider::other) {
    out["preset"] = to_string(options.rules.provider);
  }
  if (!options.client_id.empty()) {
    out["client_id"] = options.client_id;
  } else if (needs_client_id(options.rules.provider)) {
    out["client_id"] = "THE-CLIENT-ID-THERE";
  }
  if (options.tokens == identity::TokenKind::opaque) out["tokens"] = "opaque";
  if (!options.jwks_uri.empty()) out["jwks_uri"] = options.jwks_uri;
  return out;
}

std::string configuration(const std::vector<Diagnosis>& diagnoses) {
  if (diagnoses.size() == 1 && diagnoses[0].fitting.name.empty()) {
    return to_yaml(json::object{{"auth", settings(diagnoses[0].fitting, "server")}});
  }
  json::array list;
  for (const Diagnosis& one : diagnoses) list.push_back(settings(one.fitting, "url"));
  return to_yaml(json::object{{"issuers", list}});
}

std::string text_of(const Finding& finding) {
  std::string word(to_string(finding.severity));
  if (finding.severity == Severity::blocker) word = "BLOCKER";
  std::string out = fmt::format("  {:<8} {:<22} {}\n", word, finding.check, finding.found);
  if (!finding.fix.empty()) out += fmt::format("  {:<31} -> {}\n", "", finding.fix);
  return out;
}

}  // namespace

bool has_blocker(const std::vector<Diagnosis>& diagnoses) {
  return count(diagnoses, Severity::blocker) != 0;
}

std::string diagnosis_text(const std::vector<Diagnosis>& diagnoses) {
  std::string out;
  for (const Diagnosis& one : diagnoses) {
    out += one.issuer.url;
    if (!one.issuer.name.empty()) out += " (" + one.issuer.name + ")";
    out += "\n";
    for (const Finding& finding : one.findings) out += text_of(finding);
    out += "\n";
  }
  out += fmt::format("{}, {}. ", counted(count(diagnoses, Severity::blocker), "blocker"),
                     counted(count(diagnoses, Severity::warning), "warning"));
  out += has_blocker(diagnoses) ? "Nobody gets in until the blockers are gone.\n"
                                : "Tokens of this configuration can be verified.\n";
  out +=
      "\nConfiguration to paste, as far as the provider shows it:\n\n" + configuration(diagnoses);
  return out;
}

std::string diagnosis_json(const std::vector<Diagnosis>& diagnoses) {
  json::array issuers;
  for (const Diagnosis& one : diagnoses) {
    json::array findings;
    for (const Finding& finding : one.findings) {
      json::object item{{"severity", to_string(finding.severity)},
                        {"check", finding.check},
                        {"found", finding.found}};
      if (!finding.fix.empty()) item["fix"] = finding.fix;
      findings.push_back(std::move(item));
    }
    issuers.push_back(json::object{
        {"name", one.issuer.name}, {"issuer", one.issuer.url}, {"findings", std::move(findings)}});
  }
  return to_json(json::object{{"blockers", count(diagnoses, Severity::blocker)},
                              {"warnings", count(diagnoses, Severity::warning)},
                              {"issuers", std::move(issuers)},
                              {"configuration", configuration(diagnoses)}}) +
         "\n";
}

}  // namespace kubiya::app
