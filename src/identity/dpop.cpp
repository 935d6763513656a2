// SPDX-License-Identifier: Apache-2.0
#include "identity/dpop.h"

#include <algorithm>

#include "base/canonical_json.h"
#include "base/encoding.h"
#include "base/ids.h"
#include "identity/claim_readers.h"

namespace kubiya::identity {
namespace {

constexpr std::size_t kProofBytes = 8 * 1024;
constexpr std::size_t kIdBytes = 256;
constexpr std::size_t kShownBytes = 64;
const JsonLimits kProofJson{.depth = 4, .nodes = 64, .number_chars = 32};

struct Proof {
  json::object header, claims;
  std::string_view signing_input;
  std::string signature;
};

Checked<std::string> decode(std::string_view part, const char* name) {
  auto bytes = unbase64url(part);
  if (!bytes) return fail(Reason::bad_proof, std::string(name) + " is not base64url");
  return std::move(*bytes);
}

Checked<json::object> parse_part(std::string_view part, const char* name) {
  auto parsed = parse_json(TRY(decode(part, name)), kProofJson);
  if (!parsed || !parsed->is_object()) {
    return fail(Reason::bad_proof, std::string(name) + " is not a JSON object");
  }
  return std::move(parsed->get_object());
}

Checked<Proof> parse_proof(std::string_view text) {
  if (text.size() > kProofBytes) return fail(Reason::bad_proof, "too long");
  const std::size_t first = text.find('.');
  const std::size_t second = first == text.npos ? text.npos : text.find('.', first + 1);
  if (second == text.npos || text.find('.', second + 1) != text.npos) {
    return fail(Reason::bad_proof, "not three parts");
  }
  Proof out;
  out.header = TRY(parse_part(text.substr(0, first), "the header"));
  out.claims = TRY(parse_part(text.substr(first + 1, second - first - 1), "the payload"));
  out.signing_input = text.substr(0, second);
  out.signature = TRY(decode(text.substr(second + 1), "the signature"));
  return out;
}

Checked<crypto::Algorithm> read_algorithm(const json::object& header, const DpopOptions& options) {
  const std::string_view name = find_string(header, "alg").value_or("");
  const auto algorithm = crypto::algorithm(name);
  const auto& accepted = options.algorithms;
  if (!algorithm || std::find(accepted.begin(), accepted.end(), *algorithm) == accepted.end()) {
    return fail(Reason::bad_proof, "alg " + printable(name, kShownBytes));
  }
  return *algorithm;
}

// The key that the proof is signed with, by its own header: it is trusted for nothing but being
// the one that the token names.
Checked<crypto::PublicKey> read_key(const Proof& proof, const DpopOptions& options) {
  const json::object& header = proof.header;
  if (!iequals(find_string(header, "typ").value_or(""), "dpop+jwt")) {
    return fail(Reason::bad_proof, "typ is not dpop+jwt");
  }
  for (const char* name : {"crit", "b64", "zip"}) {
    if (header.contains(name)) return fail(Reason::bad_proof, name);
  }
  const crypto::Algorithm algorithm = TRY(read_algorithm(header, options));
  const json::object* jwk = find_object(header, "jwk");
  if (jwk == nullptr) return fail(Reason::bad_proof, "no jwk");
  auto key = crypto::PublicKey::from_jwk(*jwk);
  if (!key) return fail(Reason::bad_proof, "jwk: " + key.error().message);
  if (!key->verify(algorithm, proof.signing_input, proof.signature)) {
    return fail(Reason::bad_proof, "signature");
  }
  return std::move(*key);
}

Checked<void> check_request(const json::object& claims, const ProofContext& request) {
  const auto method = find_string(claims, "htm");
  const auto target = find_string(claims, "htu");
  const auto hash = find_string(claims, "ath");
  if (!method || !target || !hash) return fail(Reason::bad_proof, "htm, htu and ath are needed");
  if (*method != request.method) return fail(Reason::proof_of_another_request, "htm");
  const auto theirs = normal_target(*target);
  if (!theirs || theirs != normal_target(request.target)) {
    return fail(Reason::proof_of_another_request, "htu " + printable(*target, kShownBytes));
  }
  if (*hash != base64url(crypto::view(crypto::sha256(request.token)))) {
    return fail(Reason::proof_of_another_request, "ath");
  }
  return {};
}

// bad_claim would speak of the token.
Checked<std::optional<double>> read_moment(const json::object& claims, const char* name) {
  auto at = read_time(claims, name);
  if (!at) return fail(Reason::bad_proof, std::string(name) + " is not a number");
  return *at;
}

Checked<void> check_moment(const json::object& claims, std::chrono::seconds window, Wall now_wall) {
  const double now = std::chrono::duration<double>(now_wall.time_since_epoch()).count();
  const double room = std::chrono::duration<double>(window).count();
  const auto issued = TRY(read_moment(claims, "iat"));
  const auto expires = TRY(read_moment(claims, "exp"));
  const auto not_before = TRY(read_moment(claims, "nbf"));
  if (!issued) return fail(Reason::bad_proof, "no iat");
  if (*issued + room < now) return fail(Reason::proof_outdated, "iat is too old");
  if (*issued > now + room) return fail(Reason::proof_outdated, "iat is in the future");
  if (expires && *expires + room < now) return fail(Reason::proof_outdated, "exp");
  if (not_before && *not_before > now + room) return fail(Reason::proof_outdated, "nbf");
  return {};
}

std::int64_t period_of(Wall now) {
  constexpr std::chrono::minutes kPeriod{5};
  return now.time_since_epoch() / kPeriod;
}

bool is_unreserved(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
         c == '.' || c == '_' || c == '~';
}

// RFC 3986 §6.2.2.1 and §6.2.2.2.
std::string normal_path(std::string_view path) {
  std::string out;
  for (std::size_t i = 0; i < path.size(); ++i) {
    const auto byte = path[i] == '%' ? unhex(lower(path.substr(i + 1, 2))) : std::nullopt;
    if (!byte || byte->size() != 1) {
      out += path[i];
      continue;
    }
    i += 2;
    if (is_unreserved(byte->front())) {
      out += byte->front();
    } else {
      out += '%';
      for (const char c : hex(*byte)) out += c >= 'a' ? static_cast<char>(c - 32) : c;
    }
  }
  return out.empty() ? "/" : out;
}

}  // namespace

std::optional<std::string> normal_target(std::string_view url) {
  const std::size_t colon = url.find("://");
  if (colon == url.npos) return std::nullopt;
  const std::string scheme = lower(url.substr(0, colon));
  if (scheme != "https" && scheme != "http") return std::nullopt;
  url = url.substr(0, std::min(url.find_first_of("?#"), url.size()));
  const std::string_view rest = url.substr(std::min(colon + 3, url.size()));
  const std::size_t slash = std::min(rest.find('/'), rest.size());
  std::string authority = lower(rest.substr(0, slash));
  if (authority.empty() || authority.find('@') != authority.npos) return std::nullopt;
  const std::string_view standard = scheme == "https" ? ":443" : ":80";
  if (authority.ends_with(standard)) authority.resize(authority.size() - standard.size());
  if (authority.ends_with(':')) authority.pop_back();
  return scheme + "://" + authority + normal_path(rest.substr(slash));
}

crypto::Digest thumbprint(const crypto::PublicKey& key) {
  return crypto::sha256(canonical_json(json::value(key.to_jwk())));
}

std::string algorithm_list(const std::vector<crypto::Algorithm>& algorithms) {
  std::string out;
  for (const crypto::Algorithm algorithm : algorithms) {
    if (!out.empty()) out += ' ';
    out += crypto::name(algorithm);
  }
  return out;
}

Checked<ProofMarks> check_proof(std::string_view proof, const DpopOptions& options,
                                const ProofContext& request, Wall now) {
  const Proof parsed = TRY(parse_proof(proof));
  const auto id = find_string(parsed.claims, "jti");
  if (!id || id->empty() || id->size() > kIdBytes) return fail(Reason::bad_proof, "jti");
  TRY_VOID(check_request(parsed.claims, request));
  TRY_VOID(check_moment(parsed.claims, options.window, now));
  const crypto::PublicKey key = TRY(read_key(parsed, options));
  if (crypto::view(thumbprint(key)) != request.key) return fail(Reason::proof_of_another_key);
  return ProofMarks{crypto::sha256(std::string(request.key) + std::string(*id)),
                    std::string(find_string(parsed.claims, "nonce").value_or(""))};
}

ProofNonces::ProofNonces() {
  std::string key(crypto::Digest().size(), '\0');
  random_bytes(key.data(), key.size());
  key_ = Secret::take(std::move(key));
}

std::string ProofNonces::of_period(std::int64_t period) const {
  constexpr std::size_t kNonceBytes = 16;
  const crypto::Digest mac =
      crypto::hmac_sha256(key_.reveal(), "dpop nonce " + std::to_string(period));
  return base64url(crypto::view(mac).substr(0, kNonceBytes));
}

std::string ProofNonces::current(Wall now) const { return of_period(period_of(now)); }

bool ProofNonces::accepts(std::string_view nonce, Wall now) const {
  const std::int64_t period = period_of(now);
  return crypto::equal_constant_time(nonce, of_period(period)) ||
         crypto::equal_constant_time(nonce, of_period(period - 1));
}

}  // namespace kubiya::identity
