// SPDX-License-Identifier: Apache-2.0
#include "workflow/approval.h"

#include <algorithm>
#include <array>

namespace kubiya::workflow {
namespace {

constexpr std::array<std::string_view, 5> kStatuses = {"open", "approved", "rejected", "expired",
                                                       "withdrawn"};

bool holds_all(const Scopes& held, const std::vector<std::string>& named) {
  return !named.empty() && std::all_of(named.begin(), named.end(),
                                       [&](const std::string& scope) { return held.has(scope); });
}

bool is_member(const std::vector<std::string>& groups, const std::vector<std::string>& named) {
  return std::any_of(named.begin(), named.end(), [&](const std::string& group) {
    return std::find(groups.begin(), groups.end(), group) != groups.end();
  });
}

}  // namespace

Standing standing(const Approval& approval, const Approver& who, std::string_view requester) {
  if (!holds_all(who.scopes, approval.scopes) && !is_member(who.groups, approval.groups)) {
    return Standing::not_named;
  }
  const bool own = who.owner == requester;
  return own && approval.not_requester ? Standing::is_requester : Standing::may_decide;
}

std::string_view to_string(ApprovalStatus status) {
  return kStatuses[static_cast<std::size_t>(status)];
}

std::optional<ApprovalStatus> approval_status(std::string_view text) {
  const auto found = std::find(kStatuses.begin(), kStatuses.end(), text);
  if (found == kStatuses.end()) return std::nullopt;
  return static_cast<ApprovalStatus>(found - kStatuses.begin());
}

}  // namespace kubiya::workflow
