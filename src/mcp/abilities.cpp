// SPDX-License-Identifier: Apache-2.0
#include "mcp/abilities.h"

namespace kubiya::mcp {
namespace {

bool is_url_ask(const tools::InputRequest& ask) { return find_string(ask.params, "mode") == "url"; }

}  // namespace

tools::ClientAbilities abilities_of(JsonView capabilities) {
  tools::ClientAbilities client;
  if (const auto elicitation = find_object(capabilities, "elicitation")) {
    client.elicit_url = elicitation->find("url").has_value();
    // An empty object means forms: there was nothing else before 2025-11-25.
    client.elicit_form = elicitation->find("form").has_value() || !client.elicit_url;
  }
  client.sampling = find_object(capabilities, "sampling").has_value();
  client.roots = find_object(capabilities, "roots").has_value();
  if (const auto extensions = find_object(capabilities, "extensions")) {
    client.tasks = find_object(*extensions, "io.modelcontextprotocol/tasks").has_value();
  }
  return client;
}

bool can_ask(const tools::ClientAbilities& client, const tools::InputRequest& ask) {
  if (ask.method == "elicitation/create") {
    return is_url_ask(ask) ? client.elicit_url : client.elicit_form;
  }
  if (ask.method == "sampling/createMessage") return client.sampling;
  return ask.method == "roots/list" && client.roots;
}

json::object needed_abilities(const std::vector<tools::InputRequest>& asks) {
  json::object needed;
  for (const auto& ask : asks) {
    if (ask.method == "elicitation/create") {
      json::value& modes = needed["elicitation"];
      if (!modes.is_object()) modes = json::object{};
      if (is_url_ask(ask)) modes.get_object()["url"] = json::object{};
    } else if (ask.method == "sampling/createMessage") {
      needed["sampling"] = json::object{};
    } else {
      needed["roots"] = json::object{};
    }
  }
  return needed;
}

}  // namespace kubiya::mcp
