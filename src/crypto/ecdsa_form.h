// SPDX-License-Identifier: Apache-2.0
//
// The two spellings of an ECDSA signature: r‖s of fixed length (RFC 7518 §3.4) and DER
// (RFC 3279 §2.2.3). Private to crypto/. Pure.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace kubiya::crypto {

// `raw` has an even length of at most 132 bytes. Any r and s are spelled, 0 included.
std::string ecdsa_der(std::string_view raw);
// Nothing when `der` is not one ECDSA-Sig-Value of numbers of at most `half` bytes.
std::optional<std::string> ecdsa_raw(std::string_view der, std::size_t half);

}  // namespace kubiya::crypto
