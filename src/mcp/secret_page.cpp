// SPDX-License-Identifier: Apache-2.0
#include "mcp/secret_page.h"

#include <algorithm>
#include <string>

#include <fmt/format.h>

#include "base/encoding.h"
#include "crypto/digest.h"

namespace kubiya::mcp {
namespace {

using State = identity::OneTimeBox::State;

constexpr std::string_view kStyle =
    "body{font:16px/1.5 system-ui,sans-serif;max-width:34em;margin:4em auto;padding:0 1em;"
    "color:#1b1b1f;background:#fff}h1{font-size:1.3em}code{display:block;padding:.8em;"
    "background:#f1f1f4;border-radius:6px;overflow-wrap:anywhere;user-select:all}"
    "input,button{font:inherit;padding:.4em .8em}@media(prefers-color-scheme:dark){"
    "body{color:#eee;background:#17171a}code{background:#2a2a30}}";

std::string escaped(std::string_view text) {
  std::string out;
  for (const char c : text) {
    switch (c) {
      case '&':
        out += "&amp;";
        break;
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '"':
        out += "&quot;";
        break;
      default:
        out += c;
    }
  }
  return out;
}

// `more` is HTML that follows what is said.
http::Response page(int status, std::string_view title, std::string_view said, bool html,
                    std::string_view more = {}) {
  static const std::string policy = fmt::format(
      "default-src 'none'; style-src 'sha256-{}'; form-action 'self'; frame-ancestors 'none'; "
      "base-uri 'none'",
      base64(crypto::view(crypto::sha256(kStyle))));
  http::Response response;
  response.status = status;
  response.add("Cache-Control", "no-store")
      .add("Content-Security-Policy", policy)
      .add("Referrer-Policy", "same-origin")
      .add("X-Content-Type-Options", "nosniff")
      .add("X-Frame-Options", "DENY")
      .add("X-Robots-Tag", "noindex");
  if (!html) {
    response.content_type = "text/plain; charset=utf-8";
    response.body = fmt::format("{}\n", said);
    return response;
  }
  response.content_type = "text/html; charset=utf-8";
  response.body = fmt::format(
      "<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport "
      "content=\"width=device-width\"><title>{}</title><style>{}</style><h1>{}</h1><p>{}</p>{}"
      "</html>\n",
      title, kStyle, title, escaped(said), more);
  return response;
}

constexpr std::string_view kButton =
    "<form method=post><p><button autofocus>Show the key</button></p></form>";
constexpr std::string_view kCodeForm =
    "<form method=post><p><label>Code <input name=code inputmode=numeric autocomplete=off "
    "pattern=\"[0-9]{8}\" required autofocus></label> <button>Show the key</button></p></form>";

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  const char low = static_cast<char>(c | 0x20);
  return low >= 'a' && low <= 'f' ? low - 'a' + 10 : -1;
}

std::string decoded(std::string_view text) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '%' && i + 2 < text.size() && hex_digit(text[i + 1]) >= 0 &&
        hex_digit(text[i + 2]) >= 0) {
      out += static_cast<char>(hex_digit(text[i + 1]) * 16 + hex_digit(text[i + 2]));
      i += 2;
    } else {
      out += text[i] == '+' ? ' ' : text[i];
    }
  }
  return out;
}

}  // namespace

std::string_view path_to_log(std::string_view path) {
  if (path.starts_with(kOncePath)) return kOncePath;
  return path.starts_with(kAskPath) ? kAskPath : path;
}

bool is_from_our_page(const http::Request& request) {
  const std::string_view site = request.header("sec-fetch-site");
  if (!site.empty() && site != "same-origin" && site != "none") return false;
  const std::string_view* const origin = request.find("origin");
  if (origin == nullptr) return true;
  const std::size_t scheme = origin->find("://");
  return scheme != origin->npos && iequals(origin->substr(scheme + 3), request.host);
}

std::optional<identity::AskBox::Given> form_fields(std::string_view body, std::size_t bytes_max) {
  identity::AskBox::Given fields;
  while (!body.empty()) {
    const std::string_view pair = body.substr(0, body.find('&'));
    body.remove_prefix(std::min(pair.size() + 1, body.size()));
    if (pair.empty()) continue;
    const std::size_t equals = std::min(pair.find('='), pair.size());
    std::string name = decoded(pair.substr(0, equals));
    std::string value = decoded(pair.substr(std::min(equals + 1, pair.size())));
    if (value.size() > bytes_max || !is_utf8(name) || !is_utf8(value)) return std::nullopt;
    if (!fields.emplace(std::move(name), Secret::take(std::move(value))).second)
      return std::nullopt;
  }
  return fields;
}

http::Response ask_page(const identity::AskBox::Question& question, bool wrong, bool html) {
  std::string fields;
  for (const std::string& name : question.names) {
    fields += fmt::format(
        "<p><label>{0}<br><input type=password name=\"{0}\" autocomplete=off required></label></p>",
        escaped(name));
  }
  const std::string form =
      fmt::format("<form method=post>{}<p><button>Hand over</button></p></form>", fields);
  return page(wrong ? 400 : 200, "A secret is asked for",
              fmt::format("{}{} asks {} for secret values. They go to this server only. Close this "
                          "page if that is not you, or if you did not ask for it.",
                          wrong ? "That was not taken: fill in every field. " : "", question.what,
                          question.who),
              html, form);
}

http::Response ask_taken(std::string_view code, bool html) {
  const std::string next = code.empty()
                               ? std::string("Go back to your client; you can close this page.")
                               : fmt::format("Your client asks for this code next: {}", code);
  return page(200, "Thank you", "It was handed over. " + next, html);
}

http::Response once_page(State state, bool html) {
  switch (state) {
    case State::waiting:
      return page(200, "Your new API key",
                  "This page shows it once. Have a safe place for it ready. (Without a browser: "
                  "send a POST to this address.)",
                  html, kButton);
    case State::waiting_for_code:
      return page(
          200, "Your new API key",
          "This page shows it once. Enter the code that your MCP client has got. (Without a "
          "browser: send a POST with the form field code.)",
          html, kCodeForm);
    case State::gone:
      return page(410, "This link is over",
                  "What it showed was seen already, or its time is up. A key that nobody saw does "
                  "not work: make another one.",
                  html);
    case State::unknown:
      break;
  }
  return page(404, "There is nothing here", "This link is not known: check that it is whole.",
              html);
}

http::Response once_wrong_code(bool html) {
  return page(403, "This is not the code",
              "After five wrong codes the key is revoked. The code is in the answer that your MCP "
              "client has got.",
              html, kCodeForm);
}

http::Response once_unrecorded(bool html) {
  return page(503, "The key cannot be shown now",
              "It could not be recorded that it is shown, so it is revoked: make another one when "
              "the audit journal is well again.",
              html);
}

http::Response once_secret(const identity::Unseen& what, bool html) {
  if (!html) return page(200, "", what.secret.reveal(), false);
  return page(200, "Your new API key",
              fmt::format("Key {} ({}). It is not shown again: keep it in a safe place now.",
                          what.key_id, what.title),
              true, fmt::format("<code>{}</code>", escaped(what.secret.reveal())));
}

}  // namespace kubiya::mcp
