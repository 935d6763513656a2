// SPDX-License-Identifier: Apache-2.0
#include "workflow/approval_reader.h"

#include <array>

#include <fmt/format.h>

#include "base/encoding.h"
#include "workflow/names.h"

namespace kubiya::workflow {
namespace {

constexpr std::array<std::string_view, 6> kReadable = {"message", "scopes",     "groups",
                                                       "quorum",  "expiresSec", "notRequester"};
constexpr std::array<std::string_view, 10> kOfAnApproval = {
    "name",    "id",         "description",   "type",         "approval",
    "depends", "depends_on", "preconditions", "precondition", "continueOn"};
constexpr int kMostApprovers = 20;
constexpr int kLongestWait = 30 * 24 * 3600;  // seconds
constexpr std::size_t kMostNames = 50;
constexpr std::size_t kMessageBytes = 2048;

std::vector<std::string> names(Reader& reader, const Field& field) {
  std::vector<std::string> found = reader.texts(field);
  if (found.size() > kMostNames) reader.problem(field, fmt::format("more than {}", kMostNames));
  for (const std::string& name : found) {
    if (name.empty()) reader.problem(field, "holds an empty name");
  }
  return found;
}

}  // namespace

Approval read_approval(Reader& reader, const Field& field) {
  Approval approval;
  const json::object* object = reader.object(field);
  if (object == nullptr) return approval;
  for (const auto& member : *object) {
    const std::string_view key = member.key();
    const Field value = reader.member(field, key, member.value());
    if (key == "message")
      approval.message = reader.text(value);
    else if (key == "scopes")
      approval.scopes = names(reader, value);
    else if (key == "groups")
      approval.groups = names(reader, value);
    else if (key == "quorum")
      approval.quorum = reader.integer(value, 1, kMostApprovers);
    else if (key == "expiresSec")
      approval.expires = std::chrono::seconds(reader.integer(value, 1, kLongestWait));
    else if (key == "notRequester")
      approval.not_requester = reader.flag(value);
    else
      refuse_member(reader, value, key, "an approval", kReadable, {});
  }
  if (approval.message.size() > kMessageBytes)
    reader.problem(field, fmt::format("message is longer than {} bytes", kMessageBytes));
  if (approval.scopes.empty() && approval.groups.empty())
    reader.problem(field, "names nobody who may approve: give scopes or groups");
  return approval;
}

void check_approval_step(Reader& reader, const ReadStep& read, const json::object& members,
                         StepPlace place) {
  if (place == StepPlace::handler)
    return reader.problem(read.field, "a handler cannot wait for an approval");
  if (!members.contains("approval"))
    return reader.problem(read.field, "approval is missing: it says who may approve");
  for (const auto& member : members) {
    const std::string_view key = member.key();
    if (contains(kOfAnApproval, key)) continue;
    reader.problem(read.field,
                   fmt::format("an approval runs nothing and has no {}{}", printable(key),
                               key.starts_with("timeout") ? ": use approval.expiresSec" : ""));
  }
  const ContinueOn& on = read.step.continue_on;
  if (on.failure || on.mark_success || !on.exit_codes.empty() || !on.outputs.empty())
    reader.problem(read.field, "continueOn: nothing goes on past a rejection; only skipped fits");
}

}  // namespace kubiya::workflow
