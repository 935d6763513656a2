// SPDX-License-Identifier: Apache-2.0
//
// API keys for their owners. A new key is never in an answer: a model reads answers. It waits
// behind a link that shows it once; a client that can ask its person to open a link is asked to, so
// that the model does not get the link either.
#include <algorithm>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "base/encoding.h"
#include "identity/key_life.h"
#include "tools/asking.h"
#include "tools/families.h"
#include "tools/spec.h"
#include "tools/view.h"

namespace kubiya::tools {
namespace {

using policy::Effect;

constexpr std::int64_t kHourMs = 3'600'000;
constexpr std::int64_t kDayMs = 24 * kHourMs;
constexpr std::int64_t kDaysDefault = 90;
constexpr std::int64_t kOverlapHoursDefault = 7 * 24;
constexpr std::size_t kGoodKeysMax = 100;  // of one person
constexpr std::string_view kAsk = "show_key";
constexpr std::string_view kStatePrefix = "key ";

constexpr std::string_view kKey =
    R"("key_id":{"type":"string"},"ends_with":{"type":"string"},)"
    R"("state":{"enum":["staged","active","retiring","retired","expired","revoked"]},)"
    R"("tenant":{"type":"string"},"issuer":{"type":"string"},"owner":{"type":"string"},"name":{"type":"string"},)"
    R"("scopes":{"type":"array","items":{"type":"string"}},"labels":{"type":"object"},"made_by":{"type":"string"},)"
    R"("created":{"type":"string"},"expires":{"type":"string"},"last_used":{"type":"string"},"replaces":{"type":"string"},)"
    R"("promoted":{"type":"string"},"retires":{"type":"string"},"revoked":{"type":"string"},"revoked_by":{"type":"string"})";
constexpr std::string_view kKeyRequired =
    R"("key_id","ends_with","state","issuer","owner","name","scopes")";
constexpr std::string_view kLink =
    R"("link":{"type":"string","description":"Shows the key once, to the person only"},)"
    R"("code":{"type":"string","description":"The page asks for it"})";
constexpr std::string_view kKeyId =
    R"("key_id":{"type":"string","pattern":"^[0-9A-Za-z]{1,32}$","description":"As list_api_keys shows it"})";
constexpr std::string_view kExpires =
    R"("expires_days":{"type":"integer","minimum":1,"maximum":366,"description":"Days until it ends by itself)";
constexpr std::string_view kWhose =
    R"("subject":{"type":"string","minLength":1,"maxLength":128,"description":"Whose; needs the scope admin. By default yours"},)"
    R"("issuer":{"type":"string","minLength":1,"maxLength":256,"description":"Of that person's tokens; by default that of yours"})";

std::string key_schema(std::string_view more = {}) {
  const std::string members = more.empty() ? std::string(kKey) : fmt::format("{},{}", kKey, more);
  return object_schema(members, kKeyRequired);
}

const PrincipalFacts& caller(const Call& call) { return call.permit.principal()->facts(); }

// Who did it, for the record of the key.
std::string by(const Call& call) {
  return fmt::format("{} at {}", printable(caller(call).subject, 128),
                     printable(caller(call).issuer, 128));
}

struct Whose {
  std::string issuer, subject;
  bool own = true;
};
Whose whose(const Call& call) {
  const PrincipalFacts& me = caller(call);
  Whose out{std::string(find_string(call.arguments, "issuer").value_or(me.issuer)),
            std::string(find_string(call.arguments, "subject").value_or(me.subject)), true};
  out.own = out.issuer == me.issuer && out.subject == me.subject;
  return out;
}

ToolResult denied(const Services& services, const Call& call, const Scopes& lacking) {
  policy::Denied no;
  no.needed = services.policy.needed(call.permit.operation()).unite(lacking);
  no.missing = lacking;
  ToolResult result;
  result.denied = std::make_shared<const policy::Denied>(std::move(no));
  result.reason = "insufficient_scope";
  result.failed = true;
  return result;
}

// Which keys the caller may act on: those of others are not there for who is no admin.
store::KeyFilter reach(const Call& call) {
  const PrincipalFacts& me = caller(call);
  if (call.permit.is_admin()) return {me.tenant};
  return {me.tenant, me.issuer, me.subject};
}

std::int64_t expiry(const Services& services, const Call& call, std::int64_t days) {
  const std::int64_t wanted = unix_ms(services.clock.wall()) + days * kDayMs;
  // What a key makes does not outlive it; a token is meant to be short-lived.
  const PrincipalFacts& me = caller(call);
  const bool by_key = me.kind == CredentialKind::api_key || me.kind == CredentialKind::shared_key;
  if (!by_key || me.expires_at == Wall::max()) return wanted;
  return std::min(wanted, unix_ms(me.expires_at));
}

json::object described(const Services& services, const store::KeyRow& row) {
  return identity::describe(row, unix_ms(services.clock.wall()));
}

ToolResult about(const Services& services, const store::KeyRow& row, std::string text) {
  ToolResult result;
  result.structured = to_json(described(services, row));
  result.text = std::move(text);
  result.target = row.id;
  return result;
}

// The key exists now; how its owner gets to see it.
ToolResult handed_over(const Services& services, const Call& call, const store::KeyRow& row,
                       const identity::OneTimeBox::Link& link) {
  const std::string url = services.keys->link_base + link.token;
  if (call.client.elicit_url) {
    InputRequest ask = open_page(
        std::string(kAsk), url,
        fmt::format("Your new API key {} is shown on this page, once. The page asks for a "
                    "code, which you get here next.",
                    printable(row.name, 128)));
    ToolResult result = ToolResult::asking({std::move(ask)},
                                           fmt::format("{}{} {}", kStatePrefix, row.id, link.code));
    result.target = row.id;
    return result;
  }
  json::object out = described(services, row);
  out["link"] = url;
  ToolResult result;
  result.structured = to_json(out);
  result.text = fmt::format(
      "Key {} ({}) is made. Its secret is shown once, to the person, at {} — do not open it "
      "yourself. The link ends soon; a key that nobody looked at is revoked then.",
      row.id, row.scopes, url);
  result.target = row.id;
  return result;
}

// What was said to the question of handed_over(). Whoever does not want to see the key does not
// want it.
Result<ToolResult> concluded(const Services& services, const Call& call) {
  std::string_view state = call.state;
  state.remove_prefix(kStatePrefix.size());
  const std::size_t space = state.find(' ');
  const std::string id(state.substr(0, space));
  const std::string code(space == state.npos ? std::string_view() : state.substr(space + 1));
  const store::KeyRow row = TRY(services.keys->keys.find(id, reach(call)));
  if (action_of(call.answers, kAsk) == "accept") {
    ToolResult result = about(
        services, row,
        fmt::format("Key {} ({}) is made. The page that was opened asks for this code: {}. It "
                    "shows the key once.",
                    row.id, row.scopes, code));
    json::object out = described(services, row);
    out["code"] = code;
    result.structured = to_json(out);
    return result;
  }
  services.keys->box.drop(id);
  TRY_VOID(services.keys->keys.revoke(id, unix_ms(services.clock.wall()), by(call)));
  TRY_VOID(services.keys->changed());
  ToolResult result =
      about(services, TRY(services.keys->keys.get(id)),
            fmt::format("The page was not opened, so key {} is revoked: nobody has seen it.", id));
  result.reason = "input_declined";
  result.failed = true;
  return result;
}

// Makes `row` with `make`, when there is a way to show it; `seen` happens because it is shown.
Result<ToolResult> made(const Services& services, const Call& call, store::KeyRow row,
                        const std::function<Result<>(const store::KeyRow&)>& make,
                        std::function<Result<>()> (*seen)(const Services&, const Call&,
                                                          const store::KeyRow&)) {
  const KeyServices& keys = *services.keys;
  const identity::NewKey key = keys.book.make();
  row.id = key.id;
  row.digest = key.digest;
  row.hint = key.hint;
  row.made_by = by(call);
  identity::Unseen unseen{row.id,
                          row.tenant,
                          caller(call).issuer,
                          caller(call).subject,
                          row.name,
                          key.key,
                          seen == nullptr ? nullptr : seen(services, call, row)};
  const auto link = TRY(keys.box.put(std::move(unseen), call.client.elicit_url));
  if (const auto stored = make(row); !stored) {
    keys.box.drop(row.id);
    return fail(stored.error());
  }
  const auto recorded = keys.changed();
  if (!recorded || !keys.book.check(key.key.reveal(), services.clock.wall())) {
    // A key without evidence must not work.
    keys.box.drop(row.id);
    TRY_VOID(keys.keys.revoke(row.id, unix_ms(services.clock.wall()), by(call)));
    return fail(Code::unavailable, "The key could not be recorded; try again later",
                recorded ? "the audit journal is slow" : recorded.error().detail);
  }
  return handed_over(services, call, row, link);
}

Scopes wanted_scopes(const Call& call) {
  const json::array* list = find_array(call.arguments, "scopes");
  if (list == nullptr) return caller(call).scopes.intersect({"read"});
  Scopes out;
  for (const json::value& scope : *list) out.add(view(scope.get_string()));
  return out;
}

Result<> check_room(const Services& services, const store::KeyRow& row) {
  const auto held = TRY(services.keys->keys.list({row.tenant, row.issuer, row.owner}));
  const std::int64_t now = unix_ms(services.clock.wall());
  const auto good = std::count_if(held.begin(), held.end(), [&](const auto& key) {
    return identity::is_good(identity::state_of(key, now));
  });
  if (static_cast<std::size_t>(good) < kGoodKeysMax) return {};
  return fail(Code::conflict, fmt::format("{} has {} keys that work, which is as many as one "
                                          "person may have: revoke some first",
                                          printable(row.owner, 128), good));
}

Result<ToolResult> create(const Services& services, const Call& call) {
  if (call.state.starts_with(kStatePrefix)) return concluded(services, call);
  const Whose owner = whose(call);
  if (!owner.own && !call.permit.is_admin()) return denied(services, call, {"admin"});
  const Scopes scopes = wanted_scopes(call);
  if (const Scopes beyond = caller(call).scopes.missing(scopes); !beyond.empty()) {
    return denied(services, call, beyond);
  }
  if (scopes.empty()) return fail(Code::invalid, "scopes is needed: you do not have read yourself");
  store::KeyRow row;
  row.tenant = caller(call).tenant;
  row.issuer = owner.issuer;
  row.owner = owner.subject;
  row.name = std::string(find_string(call.arguments, "name").value_or(owner.subject));
  if (printable(row.name, 256) != row.name || printable(row.owner, 256) != row.owner) {
    return fail(Code::invalid, "name and subject must be printable text");
  }
  if (const json::object* labels = find_object(call.arguments, "labels")) {
    TRY_VOID(identity::check_labels(*labels));
    row.labels = to_json(*labels);
  }
  row.scopes = scopes.text();
  row.created_ms = unix_ms(services.clock.wall());
  row.expires_ms =
      expiry(services, call, find_int(call.arguments, "expires_days").value_or(kDaysDefault));
  TRY_VOID(check_room(services, row));
  return made(
      services, call, std::move(row),
      [&](const store::KeyRow& one) { return services.keys->keys.create(one); }, nullptr);
}

// The old key ends some time after its successor was shown, and stays when that never happens.
std::function<Result<>()> promotion(const Services& services, const Call& call,
                                    const store::KeyRow& row) {
  const std::int64_t hours =
      find_int(call.arguments, "overlap_hours").value_or(kOverlapHoursDefault);
  return [services, id = row.id, hours, who = by(call)]() -> Result<> {
    const std::int64_t now = unix_ms(services.clock.wall());
    TRY_VOID(services.keys->keys.promote(id, now, now + hours * kHourMs, who));
    return services.keys->changed();
  };
}

Result<ToolResult> rotate(const Services& services, const Call& call) {
  if (call.state.starts_with(kStatePrefix)) return concluded(services, call);
  const std::string id(*find_string(call.arguments, "key_id"));
  const store::KeyRow old = TRY(services.keys->keys.find(id, reach(call)));
  // A successor is as strong as the key, and its secret goes to the caller.
  if (const Scopes beyond = caller(call).scopes.missing(identity::scopes_of(old));
      !beyond.empty()) {
    return denied(services, call, beyond);
  }
  const std::int64_t now = unix_ms(services.clock.wall());
  std::int64_t days = kDaysDefault;
  if (old.expires_ms != 0) {
    days =
        std::clamp<std::int64_t>((old.expires_ms - old.created_ms + kDayMs - 1) / kDayMs, 1, 366);
  }
  days = find_int(call.arguments, "expires_days").value_or(days);
  return made(
      services, call, identity::successor_of(old, now, expiry(services, call, days)),
      [&](const store::KeyRow& one) { return services.keys->keys.stage(one); }, promotion);
}

Result<ToolResult> revoke(const Services& services, const Call& call) {
  const std::string id(*find_string(call.arguments, "key_id"));
  const store::KeyRow row = TRY(services.keys->keys.find(id, reach(call)));
  services.keys->box.drop(id);
  if (row.revoked_ms != 0) {
    return about(services, row, fmt::format("Key {} was revoked before.", id));
  }
  TRY_VOID(services.keys->keys.revoke(id, unix_ms(services.clock.wall()), by(call)));
  TRY_VOID(services.keys->changed());
  return about(services, TRY(services.keys->keys.get(id)),
               fmt::format("Key {} of {} is revoked; nothing accepts it any more.", id,
                           printable(row.owner, 128)));
}

Result<ToolResult> list(const Services& services, const Call& call) {
  const Whose owner = whose(call);
  const bool everybody = find_bool(call.arguments, "everybody").value_or(false);
  if ((!owner.own || everybody) && !call.permit.is_admin()) {
    return denied(services, call, {"admin"});
  }
  store::KeyFilter filter{caller(call).tenant};
  if (!everybody) {
    filter.issuer = owner.issuer;
    filter.owner = owner.subject;
  }
  const bool ended = find_bool(call.arguments, "ended").value_or(false);
  const auto limit = static_cast<std::size_t>(find_int(call.arguments, "limit").value_or(100));
  std::vector<store::KeyRow> rows = TRY(services.keys->keys.list(filter));
  std::reverse(rows.begin(), rows.end());
  const std::int64_t now = unix_ms(services.clock.wall());
  std::erase_if(rows, [&](const store::KeyRow& row) {
    return !ended && !identity::is_good(identity::state_of(row, now));
  });
  const bool truncated = rows.size() > limit;
  if (truncated) rows.resize(limit);
  ToolResult result;
  json::array keys;
  result.text = rows.empty() ? "There are no such keys." : fmt::format("{} keys:", rows.size());
  for (const store::KeyRow& row : rows) {
    keys.push_back(described(services, row));
    result.text += fmt::format("\n- {} …{} ({}) of {}: {}, scopes {}, {}", row.id, row.hint,
                               identity::to_string(identity::state_of(row, now)),
                               printable(row.owner, 128), printable(row.name, 128), row.scopes,
                               row.last_used_ms == 0
                                   ? std::string("never used")
                                   : "last used " + format_time(from_unix_ms(row.last_used_ms)));
  }
  result.structured = to_json(json::object{{"keys", std::move(keys)}, {"truncated", truncated}});
  return result;
}

using Act = Result<ToolResult> (*)(const Services&, const Call&);

Result<> add_mutating(Registry& registry, const Services& services, ToolSpec spec, Act act) {
  return registry.add(
      std::move(spec),
      Tool::MutateHandler([services, act](const std::shared_ptr<const Call>& call,
                                          const audit::DurableTicket&,
                                          const Done& done) { done(act(services, *call)); }));
}

Result<> add_create(Registry& registry, const Services& services) {
  return add_mutating(
      registry, services,
      tool_spec(
          "", "create_api_key", {"write"}, Effect::mutates, "Create an API key",
          "Makes an API key for you with scopes that you have yourself. The key is not in the "
          "answer: the person sees it once, on a page of this server.",
          object_schema(
              fmt::format(
                  R"("name":{{"type":"string","minLength":1,"maxLength":128,"description":"What it is for"}},)"
                  R"("scopes":{{"type":"array","items":{{"type":"string","minLength":1,"maxLength":128,"pattern":"^[!#-\\[\\]-~]+$"}},)"
                  R"("minItems":1,"maxItems":32,"uniqueItems":true,"description":"By default read"}},)"
                  R"({}, by default {}"}},"labels":{{"type":"object","additionalProperties":{{"type":"string"}},"maxProperties":16}},{})",
                  kExpires, kDaysDefault, kWhose),
              ""),
          key_schema(kLink), {.destructive = false, .idempotent = false, .open_world = false}),
      create);
}

Result<> add_rotate(Registry& registry, const Services& services) {
  return add_mutating(
      registry, services,
      tool_spec(
          "key_id", "rotate_api_key", {"write"}, Effect::mutates, "Rotate an API key",
          "Makes a successor of an API key, with the same scopes, name and labels. Both work until "
          "some time after the person has seen the new one. It is not in the answer: the person "
          "sees it once, on a page of this server.",
          object_schema(
              fmt::format(
                  R"({},{}, by default as many as the old one was made for"}},)"
                  R"("overlap_hours":{{"type":"integer","minimum":0,"maximum":8784,"description":"How long the old key goes on once the new one was seen, by default {}"}})",
                  kKeyId, kExpires, kOverlapHoursDefault),
              R"("key_id")"),
          key_schema(kLink), {.destructive = true, .idempotent = false, .open_world = false}),
      rotate);
}

Result<> add_revoke(Registry& registry, const Services& services) {
  ToolSpec spec =
      tool_spec("key_id", "revoke_api_key", {"write"}, Effect::mutates, "Revoke an API key",
                "Ends an API key at once and for good.", object_schema(kKeyId, R"("key_id")"),
                key_schema(), {.destructive = true, .idempotent = true, .open_world = false});
  spec.always_admitted = true;
  return add_mutating(registry, services, std::move(spec), revoke);
}

Result<> add_list(Registry& registry, const Services& services) {
  return registry.add(
      tool_spec(
          "", "list_api_keys", {"write"}, Effect::reads, "List API keys",
          "Lists your API keys, newest first, with scopes, expiry and last use. Shows no secret.",
          object_schema(
              fmt::format(
                  R"("ended":{{"type":"boolean","description":"Also those that work no more"}},)"
                  R"("everybody":{{"type":"boolean","description":"Those of the whole tenant; needs the scope admin"}},)"
                  R"("limit":{{"type":"integer","minimum":1,"maximum":200,"description":"At most this many, by default 100"}},{})",
                  kWhose),
              ""),
          object_schema(
              fmt::format(
                  R"("keys":{{"type":"array","items":{}}},"truncated":{{"type":"boolean"}})",
                  key_schema()),
              R"("keys","truncated")")),
      Tool::ReadHandler([services](const Call& call, const audit::Ticket&, const Done& done) {
        done(list(services, call));
      }));
}

}  // namespace

Result<> add_key_tools(Registry& registry, const Services& services) {
  if (services.keys == nullptr) return {};
  TRY_VOID(add_list(registry, services));
  TRY_VOID(add_revoke(registry, services));
  if (services.keys->link_base.empty()) return {};
  TRY_VOID(add_create(registry, services));
  return add_rotate(registry, services);
}

}  // namespace kubiya::tools
