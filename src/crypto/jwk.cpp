// SPDX-License-Identifier: Apache-2.0
//
// RFC 7517/7518/8037 JWK to and from OpenSSL keys.
#include <openssl/core_names.h>
#include <openssl/param_build.h>

#include "base/encoding.h"
#include "crypto/public_key.h"

namespace kubiya::crypto {
namespace {

using Builder = std::unique_ptr<OSSL_PARAM_BLD, Freer<OSSL_PARAM_BLD_free>>;
using Params = std::unique_ptr<OSSL_PARAM, Freer<OSSL_PARAM_free>>;

// RSA numbers of 8192 bits and one leading zero, which some providers write.
constexpr std::size_t kNumberBytes = 1025;

Result<std::string> octets(const json::object& jwk, const char* member) {
  const auto text = find_string(jwk, member);
  if (!text) return fail(Code::invalid, "a key member is missing or not a string", member);
  if (text->size() > 2 * kNumberBytes) {
    return fail(Code::too_large, "a key member is too long", member);
  }
  auto bytes = unbase64url(*text);
  if (!bytes || bytes->empty()) return fail(Code::invalid, "a key member is not base64url", member);
  return std::move(*bytes);
}

Result<> refuse_private(const json::object& jwk) {
  for (const char* member : {"d", "p", "q", "dp", "dq", "qi", "oth", "k"}) {
    if (jwk.contains(member)) {
      return fail(Code::invalid, "the key holds private or secret members", member);
    }
  }
  return {};
}

Result<KeyPtr> from_params(const char* kind, OSSL_PARAM_BLD* builder) {
  const Params params(OSSL_PARAM_BLD_to_param(builder));
  const KeyContext context(EVP_PKEY_CTX_new_from_name(nullptr, kind, nullptr));
  EVP_PKEY* key = nullptr;
  if (!params || !context || EVP_PKEY_fromdata_init(context.get()) != 1 ||
      EVP_PKEY_fromdata(context.get(), &key, EVP_PKEY_PUBLIC_KEY, params.get()) != 1) {
    EVP_PKEY_free(key);
    return fail(Code::invalid, "not a usable key", kind);
  }
  return KeyPtr(key);
}

Result<KeyPtr> rsa_from(const json::object& jwk) {
  const std::string n = TRY(octets(jwk, "n"));
  const std::string e = TRY(octets(jwk, "e"));
  const Number modulus(BN_bin2bn(bytes_of(n), static_cast<int>(n.size()), nullptr));
  const Number exponent(BN_bin2bn(bytes_of(e), static_cast<int>(e.size()), nullptr));
  const Builder builder(OSSL_PARAM_BLD_new());
  if (!modulus || !exponent || !builder ||
      OSSL_PARAM_BLD_push_BN(builder.get(), OSSL_PKEY_PARAM_RSA_N, modulus.get()) != 1 ||
      OSSL_PARAM_BLD_push_BN(builder.get(), OSSL_PKEY_PARAM_RSA_E, exponent.get()) != 1) {
    return fail(Code::invalid, "not a usable RSA key");
  }
  return from_params("RSA", builder.get());
}

std::optional<KeyType> curve(std::string_view name) {
  if (name == "P-256") return KeyType::ec_p256;
  if (name == "P-384") return KeyType::ec_p384;
  if (name == "P-521") return KeyType::ec_p521;
  return std::nullopt;
}

std::string_view curve_name(KeyType type) {
  switch (type) {
    case KeyType::ec_p256:
      return "P-256";
    case KeyType::ec_p384:
      return "P-384";
    case KeyType::ec_p521:
      return "P-521";
    case KeyType::ed25519:
      return "Ed25519";
    case KeyType::rsa:
      return {};
  }
  return {};
}

Result<KeyPtr> ec_from(const json::object& jwk) {
  const auto type = curve(find_string(jwk, "crv").value_or(""));
  if (!type) return fail(Code::unsupported, "unsupported curve");
  const std::string x = TRY(octets(jwk, "x"));
  const std::string y = TRY(octets(jwk, "y"));
  if (x.size() != coordinate_bytes(*type) || y.size() != x.size()) {
    return fail(Code::invalid, "a coordinate has the wrong length");
  }
  const std::string point = "\x04" + x + y;
  const Builder builder(OSSL_PARAM_BLD_new());
  if (!builder ||
      OSSL_PARAM_BLD_push_utf8_string(builder.get(), OSSL_PKEY_PARAM_GROUP_NAME, group_name(*type),
                                      0) != 1 ||
      OSSL_PARAM_BLD_push_octet_string(builder.get(), OSSL_PKEY_PARAM_PUB_KEY, point.data(),
                                       point.size()) != 1) {
    return fail(Code::invalid, "not a usable EC key");
  }
  KeyPtr key = TRY(from_params("EC", builder.get()));
  const KeyContext check(EVP_PKEY_CTX_new_from_pkey(nullptr, key.get(), nullptr));
  if (!check || EVP_PKEY_public_check(check.get()) != 1) {
    return fail(Code::invalid, "the point is not on the curve");
  }
  return key;
}

Result<KeyPtr> ed25519_from(std::string_view raw) {
  KeyPtr key(
      EVP_PKEY_new_raw_public_key_ex(nullptr, "ED25519", nullptr, bytes_of(raw), raw.size()));
  if (!key) return fail(Code::invalid, "not a usable Ed25519 key", "32 bytes are needed");
  return key;
}

Result<KeyPtr> okp_from(const json::object& jwk) {
  if (find_string(jwk, "crv") != "Ed25519") return fail(Code::unsupported, "unsupported curve");
  return ed25519_from(TRY(octets(jwk, "x")));
}

Result<KeyPtr> key_from(const json::object& jwk) {
  TRY_VOID(refuse_private(jwk));
  const auto kind = find_string(jwk, "kty").value_or("");
  if (kind == "RSA") return rsa_from(jwk);
  if (kind == "EC") return ec_from(jwk);
  if (kind == "OKP") return okp_from(jwk);
  return fail(Code::unsupported, "unsupported kind of key");
}

// `bytes` of 0: as many as the number needs.
std::string number_text(EVP_PKEY* key, const char* name, std::size_t bytes) {
  BIGNUM* found = nullptr;
  ASSERT(EVP_PKEY_get_bn_param(key, name, &found) == 1, "a parsed key has its parameters");
  const Number number(found);
  if (bytes == 0) bytes = static_cast<std::size_t>(BN_num_bytes(number.get()));
  std::string out(bytes, '\0');
  ASSERT(BN_bn2binpad(number.get(), bytes_of(out), static_cast<int>(bytes)) >= 0,
         "a parameter of a parsed key has its length");
  return base64url(out);
}

}  // namespace

Result<PublicKey> PublicKey::from_jwk(const json::object& jwk) {
  const QuietErrors quiet;
  KeyPtr key = TRY(key_from(jwk));
  const KeyType type = TRY(classify(key.get()));
  return adopt(type, key.release());
}

Result<PublicKey> PublicKey::from_raw_ed25519(std::string_view bytes) {
  const QuietErrors quiet;
  KeyPtr key = TRY(ed25519_from(bytes));
  const KeyType type = TRY(classify(key.get()));
  return adopt(type, key.release());
}

json::object PublicKey::to_jwk() const {
  json::object out;
  if (!material_) return out;
  EVP_PKEY* const key = material_->key.get();
  switch (type_) {
    case KeyType::rsa:
      out["kty"] = "RSA";
      out["n"] = number_text(key, OSSL_PKEY_PARAM_RSA_N, 0);
      out["e"] = number_text(key, OSSL_PKEY_PARAM_RSA_E, 0);
      break;
    case KeyType::ec_p256:
    case KeyType::ec_p384:
    case KeyType::ec_p521:
      out["kty"] = "EC";
      out["crv"] = curve_name(type_);
      out["x"] = number_text(key, OSSL_PKEY_PARAM_EC_PUB_X, coordinate_bytes(type_));
      out["y"] = number_text(key, OSSL_PKEY_PARAM_EC_PUB_Y, coordinate_bytes(type_));
      break;
    case KeyType::ed25519:
      out["kty"] = "OKP";
      out["crv"] = curve_name(type_);
      out["x"] = base64url(raw_ed25519());
      break;
  }
  return out;
}

std::string PublicKey::raw_ed25519() const {
  if (!material_ || type_ != KeyType::ed25519) return {};
  std::string raw(32, '\0');
  std::size_t size = raw.size();
  ASSERT(EVP_PKEY_get_raw_public_key(material_->key.get(), bytes_of(raw), &size) == 1,
         "an Ed25519 key has its bytes");
  return raw;
}

}  // namespace kubiya::crypto
