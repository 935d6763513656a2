// SPDX-License-Identifier: Apache-2.0
#include "identity/jwt.h"

#include "base/encoding.h"

namespace kubiya::identity {
namespace {

// Longest number that a claim can need, with room to spare.
constexpr std::size_t kNumberChars = 64;
constexpr std::size_t kLoggedBytes = 32;

struct Parts {
  std::string_view header, payload, signature, signing_input;
};

// Looks at three dots at most, however many there are.
Checked<Parts> split(std::string_view text) {
  const auto first = text.find('.');
  const auto second = first == text.npos ? text.npos : text.find('.', first + 1);
  if (second == text.npos || text.find('.', second + 1) != text.npos) {
    return fail(Reason::not_three_parts);
  }
  return Parts{text.substr(0, first), text.substr(first + 1, second - first - 1),
               text.substr(second + 1), text.substr(0, second)};
}

Checked<std::string> decode(std::string_view part, const char* name) {
  auto bytes = unbase64url(part);
  if (!bytes) return fail(Reason::bad_base64, name);
  return std::move(*bytes);
}

// The object lies in `memory`.
Checked<json::object> parse_object(std::string_view text, const TokenLimits& limits, Reason reason,
                                   json::monotonic_resource& memory) {
  JsonLimits json_limits;
  json_limits.depth = limits.json_depth;
  json_limits.number_chars = kNumberChars;
  auto value = parse_json(text, json_limits, &memory);
  if (!value) return fail(reason, value.error().message);
  if (!value->is_object()) return fail(reason, "not an object");
  return std::move(value->get_object());
}

Checked<crypto::Algorithm> read_algorithm(const json::object& header) {
  const auto name = find_string(header, "alg");
  if (!name) return fail(Reason::bad_algorithm, "missing or not a string");
  const auto algorithm = crypto::algorithm(*name);
  if (!algorithm) return fail(Reason::bad_algorithm, printable(*name, kLoggedBytes));
  return *algorithm;
}

bool is_access_token_type(std::string_view type) {
  return iequals(type, "at+jwt") || iequals(type, "application/at+jwt");
}

Checked<std::optional<std::string>> read_type(const json::object& header) {
  if (header.contains("cty")) return fail(Reason::wrong_token_type, "cty");
  if (!header.contains("typ")) return std::nullopt;
  const auto type = find_string(header, "typ");
  if (!type) return fail(Reason::wrong_token_type, "typ is not a string");
  if (!iequals(*type, "JWT") && !is_access_token_type(*type)) {
    return fail(Reason::wrong_token_type, printable(*type, kLoggedBytes));
  }
  return std::string(*type);
}

Checked<std::optional<std::string>> read_key_id(const json::object& header, std::size_t max) {
  if (!header.contains("kid")) return std::nullopt;
  const auto kid = find_string(header, "kid");
  if (!kid) return fail(Reason::bad_key_id, "not a string");
  if (kid->empty() || kid->size() > max) return fail(Reason::bad_key_id, "wrong length");
  if (printable(*kid, kid->size()) != *kid) {
    return fail(Reason::bad_key_id, printable(*kid, kLoggedBytes));
  }
  return std::string(*kid);
}

// Extensions that change what is signed, or that we would have to understand.
Checked<void> refuse_extensions(const json::object& header) {
  for (const char* name : {"crit", "b64", "zip"}) {
    if (header.contains(name)) return fail(Reason::critical_header, name);
  }
  return {};
}

Checked<TokenHeader> parse_header(std::string_view encoded, const TokenLimits& limits) {
  if (encoded.size() / 4 * 3 > limits.header_bytes) return fail(Reason::token_too_long, "header");
  const std::string text = TRY(decode(encoded, "header"));
  if (text.size() > limits.header_bytes) return fail(Reason::token_too_long, "header");
  json::monotonic_resource memory;
  const json::object header = TRY(parse_object(text, limits, Reason::bad_header_json, memory));
  TRY_VOID(refuse_extensions(header));
  TokenHeader out;
  out.algorithm = TRY(read_algorithm(header));
  out.type = TRY(read_type(header));
  out.kid = TRY(read_key_id(header, limits.kid_bytes));
  return out;
}

Checked<TokenHeader> read_header(std::string_view encoded, const TokenLimits& limits,
                                 HeaderMemo* memo) {
  if (memo == nullptr) return parse_header(encoded, limits);
  if (const TokenHeader* known = memo->find(encoded)) return *known;
  TokenHeader header = TRY(parse_header(encoded, limits));
  memo->put(encoded, header);
  return header;
}

}  // namespace

const TokenHeader* HeaderMemo::find(std::string_view encoded) const {
  for (const auto& [text, header] : entries_) {
    if (text == encoded) return &header;
  }
  return nullptr;
}

void HeaderMemo::put(std::string_view encoded, const TokenHeader& header) {
  std::pair<std::string, TokenHeader> entry(encoded, header);
  if (entries_.size() < kEntries) {
    entries_.push_back(std::move(entry));
  } else {
    entries_[oldest_] = std::move(entry);
    oldest_ = (oldest_ + 1) % kEntries;
  }
}

Checked<Envelope> parse_envelope(std::string_view text, const TokenLimits& limits,
                                 HeaderMemo* memo) {
  if (text.size() > limits.token_bytes) return fail(Reason::token_too_long);
  const Parts parts = TRY(split(text));
  Envelope out;
  static_cast<TokenHeader&>(out.token) = TRY(read_header(parts.header, limits, memo));
  out.token.signing_input = parts.signing_input;
  out.payload = TRY(decode(parts.payload, "payload"));
  out.token.signature = TRY(decode(parts.signature, "signature"));
  if (out.token.signature.empty()) return fail(Reason::bad_signature, "missing");
  return out;
}

Checked<UnverifiedToken> parse_token(std::string_view text, const TokenLimits& limits,
                                     HeaderMemo* memo) {
  Envelope envelope = TRY(parse_envelope(text, limits, memo));
  UnverifiedToken& token = envelope.token;
  token.claims =
      TRY(parse_object(envelope.payload, limits, Reason::bad_claims_json, token.memory->resource));
  if (token.claims.size() > limits.claims) return fail(Reason::bad_claims_json, "too many claims");
  return std::move(token);
}

Claimed claimed_by(const UnverifiedToken& token) {
  return {printable(find_string(token.claims, "iss").value_or("")),
          printable(find_string(token.claims, "sub").value_or(""))};
}

}  // namespace kubiya::identity
