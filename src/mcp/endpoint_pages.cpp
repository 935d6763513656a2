// SPDX-License-Identifier: Apache-2.0
//
// One-time links: who has the link sees a new API key once, and that is on record before; or enters
// secrets that a call waits for.
#include "base/log.h"
#include "mcp/endpoint.h"
#include "mcp/secret_page.h"

namespace kubiya::mcp {
namespace {

using Box = identity::OneTimeBox;

constexpr std::size_t kSecretBytes = 16 * 1024;

bool wants_html(const Exchange& x) {
  return x.headers.accept.value.find("text/html") != std::string_view::npos;
}

}  // namespace

void Endpoint::one_time(const ExchangePtr& x) {
  if (services_.pages.once == nullptr) return not_found(x);
  const std::string_view token = x->request.path.substr(kOncePath.size());
  const bool html = wants_html(*x);
  if (x->request.method == "GET" || x->request.method == "HEAD") {
    return send(x, once_page(services_.pages.once->look(token), html), "one_time_page");
  }
  if (x->request.method != "POST") return other_method(x, "GET, HEAD, POST, OPTIONS");
  if (!is_from_our_page(x->request)) {
    return refuse_http_request(x, 403, "foreign_page",
                               "This form is sent by its own page only: open the link itself");
  }
  const auto fields =
      form_fields(x->request.body, kSecretBytes).value_or(identity::AskBox::Given());
  const auto code = fields.find("code");
  auto taken = services_.pages.once->take(
      token, code == fields.end() ? std::string_view() : code->second.reveal());
  if (!taken) {
    switch (taken.error()) {
      case Box::Trouble::wrong_code:
        return send(x, once_wrong_code(html), "wrong_code");
      case Box::Trouble::gone:
        return send(x, once_page(Box::State::gone, html), "link_gone");
      case Box::Trouble::unknown:
        return send(x, once_page(Box::State::unknown, html), "link_unknown");
    }
  }
  show_once(x, std::make_shared<identity::Unseen>(std::move(*taken)), html);
}

// The other way round: what the person enters goes to the call that waits for it.
void Endpoint::ask_secrets(const ExchangePtr& x) {
  if (services_.pages.asks == nullptr) return not_found(x);
  const std::string_view token = x->request.path.substr(kAskPath.size());
  const bool html = wants_html(*x);
  const auto question = services_.pages.asks->look(token);
  if (!question) return send(x, once_page(Box::State::unknown, html), "link_unknown");
  if (x->request.method == "GET" || x->request.method == "HEAD") {
    return send(x, ask_page(*question, false, html), "ask_page");
  }
  if (x->request.method != "POST") return other_method(x, "GET, HEAD, POST, OPTIONS");
  if (!is_from_our_page(x->request)) {
    return refuse_http_request(x, 403, "foreign_page",
                               "This form is sent by its own page only: open the link itself");
  }
  auto fields = form_fields(x->request.body, kSecretBytes);
  const auto code =
      fields ? services_.pages.asks->give(token, std::move(*fields)) : std::optional<std::string>();
  if (!code) return send(x, ask_page(*question, true, html), "bad_form");
  send(x, ask_taken(*code, html), "secrets_given");
}

// record → what depends on it → the secret; whatever fails on the way, the secret is lost.
void Endpoint::show_once(const ExchangePtr& x, const std::shared_ptr<identity::Unseen>& what,
                         bool html) {
  const auto lost = [this, x, what, html](const Error& error) {
    log::error("a new API key could not be shown",
               {{"request_id", x->request_id}, {"key", what->key_id}, {"detail", error.detail}});
    services_.pages.once->lose(what->key_id);
    send(x, once_unrecorded(html), "key_not_shown");
  };
  // A journal that has failed would keep the person waiting for its disk.
  if (!services_.journal.healthy()) return lost({Code::unavailable, "", "the journal is not well"});
  services_.journal.durable_event("key_shown",
                                  {{"key", what->key_id},
                                   {"tenant", what->tenant},
                                   {"peer", x->request.peer},
                                   {"request_id", x->request_id}},
                                  [this, x, what, html, lost](Result<> recorded) {
                                    if (!recorded) return lost(recorded.error());
                                    services_.workers.submit_always([this, x, what, html, lost] {
                                      if (what->seen) {
                                        if (const auto done = what->seen(); !done)
                                          return lost(done.error());
                                      }
                                      send(x, once_secret(*what, html), "key_shown");
                                    });
                                  });
}

}  // namespace kubiya::mcp
