// SPDX-License-Identifier: Apache-2.0
//
// The pages behind one-time links: a button, then the secret, once; or a form that takes secrets.
// Plain text for who does not ask for HTML. No script, no frame, no cache, nothing from elsewhere.
// Pure.
#pragma once

#include <cstddef>
#include <optional>
#include <string_view>

#include "http/message.h"
#include "identity/ask_box.h"
#include "identity/one_time_box.h"

namespace kubiya::mcp {

inline constexpr std::string_view kOncePath = "/once/";
inline constexpr std::string_view kAskPath = "/ask/";

// The path of a one-time link without what makes it one, for logs; any other path as it is.
std::string_view path_to_log(std::string_view path);

// Whether a POST to a page of ours comes from one, or from no page at all.
bool is_from_our_page(const http::Request& request);
// The fields of an application/x-www-form-urlencoded body (URL Standard, "urlencoded parsing");
// nothing when one comes twice, is longer than `bytes_max` or is no UTF-8.
std::optional<identity::AskBox::Given> form_fields(std::string_view body, std::size_t bytes_max);

// What a GET is answered, by the state of the link.
http::Response once_page(identity::OneTimeBox::State state, bool html);
http::Response once_wrong_code(bool html);
http::Response once_unrecorded(bool html);
http::Response once_secret(const identity::Unseen& what, bool html);

// `wrong`: what was sent before was not taken.
http::Response ask_page(const identity::AskBox::Question& question, bool wrong, bool html);
// `code`: what the client asks for next; empty: nothing.
http::Response ask_taken(std::string_view code, bool html);

}  // namespace kubiya::mcp
