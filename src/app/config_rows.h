// SPDX-License-Identifier: Apache-2.0
//
// Makers of table rows, one per kind of value, and the parts of the table. Private to the
// config_keys_*.cpp and config_table.cpp.
#pragma once

#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "app/config_table.h"
#include "app/config_value.h"

namespace kubiya::app::rows {

inline constexpr std::uint64_t kSecond = 1'000, kMinute = 60 * kSecond, kHour = 60 * kMinute,
                               kDay = 24 * kHour;
inline constexpr std::uint64_t kKiB = 1'024, kMiB = 1'024 * kKiB, kGiB = 1'024 * kMiB;

using Values = std::vector<std::string>;
using Shape = Key::Shape;

// Each row names a place in the Draft by a function from Draft& to a reference.
template <class At>
using PlaceType = std::remove_reference_t<std::invoke_result_t<At, Draft&>>;

inline Key row(std::string name, std::string type, std::string allowed, std::string description) {
  Key key;
  key.name = std::move(name);
  key.type = std::move(type);
  key.allowed = std::move(allowed);
  key.description = std::move(description);
  return key;
}

inline Key flagged(std::string flag, Key key) {
  key.flag = std::move(flag);
  return key;
}

inline Key aliased(std::string environment, Key key) {
  key.alias = std::move(environment);
  return key;
}

template <class At>
Key number(std::string name, At at, Range range, std::string description) {
  Key key = row(std::move(name), "number", number_allowed(range), std::move(description));
  key.set = [at, range](Draft& draft, const Values& values) -> Result<> {
    at(draft) = static_cast<PlaceType<At>>(TRY(parse_number(values.front(), range)));
    return {};
  };
  key.get = [at](Draft& draft) { return Values{std::to_string(at(draft))}; };
  return key;
}

template <class At>
Key bytes(std::string name, At at, Range range, std::string description) {
  Key key = row(std::move(name), "size", bytes_allowed(range), std::move(description));
  key.set = [at, range](Draft& draft, const Values& values) -> Result<> {
    at(draft) = static_cast<PlaceType<At>>(TRY(parse_bytes(values.front(), range)));
    return {};
  };
  key.get = [at](Draft& draft) { return Values{print_bytes(at(draft))}; };
  return key;
}

template <class At>
Key duration(std::string name, At at, Range range_ms, std::string description) {
  Key key = row(std::move(name), "duration", duration_allowed(range_ms), std::move(description));
  key.set = [at, range_ms](Draft& draft, const Values& values) -> Result<> {
    const std::chrono::milliseconds value = TRY(parse_duration(values.front(), range_ms));
    at(draft) = std::chrono::duration_cast<PlaceType<At>>(value);
    // A place that counts whole seconds must not cut "1500ms" to one second.
    if (at(draft) != value) return fail(Code::invalid, "whole seconds");
    return {};
  };
  key.get = [at](Draft& draft) { return Values{print_duration(at(draft))}; };
  return key;
}

template <class At>
Key toggle(std::string name, At at, std::string description) {
  Key key = row(std::move(name), "switch", "true or false", std::move(description));
  key.shape = Shape::toggle;
  key.set = [at](Draft& draft, const Values& values) -> Result<> {
    at(draft) = TRY(parse_switch(values.front()));
    return {};
  };
  key.get = [at](Draft& draft) { return Values{at(draft) ? "true" : "false"}; };
  return key;
}

template <class At>
Key text(std::string name, At at, std::string allowed, std::string description) {
  Key key = row(std::move(name), "text", std::move(allowed), std::move(description));
  key.set = [at](Draft& draft, const Values& values) -> Result<> {
    const std::string& value = values.front();
    if (value.size() > 4'096 || value.find_first_of(std::string("\r\n\0", 3)) != value.npos) {
      return fail(Code::invalid, "one line of at most 4096 bytes");
    }
    at(draft) = value;
    return {};
  };
  key.get = [at](Draft& draft) { return Values{at(draft)}; };
  return key;
}

template <class At>
Key list(std::string name, At at, std::string allowed, std::string description) {
  Key key = row(std::move(name), "list", std::move(allowed), std::move(description));
  key.shape = Shape::list;
  key.set = [at](Draft& draft, const Values& values) -> Result<> {
    at(draft) = values;
    return {};
  };
  key.get = [at](Draft& draft) { return at(draft); };
  return key;
}

template <class At>
Key secret(std::string name, At at, std::string description) {
  Key key = row(std::move(name), "secret", "the value, ${file:/path} or ${credential:NAME}",
                std::move(description));
  key.shape = Shape::secret;
  key.set = [at](Draft& draft, const Values& values) -> Result<> {
    at(draft).reset();
    if (!values.front().empty()) at(draft).emplace(values.front());
    return {};
  };
  key.get = [at](Draft& draft) { return Values{at(draft) ? "********" : ""}; };
  return key;
}

// A URL that is a secret when it carries a user name or a password.
template <class At>
Key credential_url(std::string name, At at, std::string description) {
  Key key = text(std::move(name), at, "a URL, or ${file:/path} to read it from a file",
                 std::move(description));
  key.shape = Shape::secret;
  key.if_secret = [](std::string_view url) { return url.find('@') != url.npos; };
  key.get = [at, holds = key.if_secret](Draft& draft) {
    return Values{holds(at(draft)) ? "********" : at(draft)};
  };
  return key;
}

template <class At>
using Choices = std::vector<std::pair<std::string, PlaceType<At>>>;

template <class At>
Key choice(std::string name, At at, Choices<At> choices, std::string description) {
  Values names;
  for (const auto& [spelling, value] : choices) names.push_back(spelling);
  const std::string allowed = join(names, " | ");
  Key key = row(std::move(name), "choice", allowed, std::move(description));
  key.set = [at, choices, allowed](Draft& draft, const Values& values) -> Result<> {
    for (const auto& [spelling, value] : choices) {
      if (spelling != values.front()) continue;
      at(draft) = value;
      return {};
    }
    return fail(Code::invalid, allowed);
  };
  key.get = [at, choices](Draft& draft) {
    for (const auto& [spelling, value] : choices) {
      if (value == at(draft)) return Values{spelling};
    }
    return Values{""};
  };
  return key;
}

using D = Draft;

// RFC 6749 §3.3: visible characters but quotes and backslashes.
Result<> check_scope_names(const Values& names);
// "one+two": what join(names, "+") makes.
Values split_sum(std::string text);

template <class At>
Key scope_names(std::string name, At at, std::string description) {
  Key key = row(std::move(name), "list", "scope names", std::move(description));
  key.shape = Shape::list;
  key.set = [at](Draft& draft, const Values& values) -> Result<> {
    TRY_VOID(check_scope_names(values));
    at(draft) = Scopes(values);
    return {};
  };
  key.get = [at](Draft& draft) { return at(draft).names(); };
  return key;
}

void add_general(std::vector<Key>& table);
void add_server(std::vector<Key>& table);
void add_issuers(std::vector<Key>& table);
void add_auth(std::vector<Key>& table);
void add_identity(std::vector<Key>& table);
void add_vault(std::vector<Key>& table);
void add_policy(std::vector<Key>& table);
void add_work(std::vector<Key>& table);

}  // namespace kubiya::app::rows
