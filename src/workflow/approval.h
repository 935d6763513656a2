// SPDX-License-Identifier: Apache-2.0
//
// Steps that wait until people have agreed: who may, how many must, until when. Pure.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/scopes.h"

namespace kubiya::workflow {

struct Approval {
  std::string message;              // what is asked; references are filled in
  std::vector<std::string> scopes;  // who holds all of them may decide
  std::vector<std::string> groups;  // and so may the members of each of these
  int quorum = 1;                   // approvals by different people
  std::chrono::seconds expires{24 * 3600};
  bool not_requester = false;  // whoever started the run may not decide
};

// Somebody who wants to decide. Views: for the length of a call.
struct Approver {
  std::string_view owner;  // Principal::owner()
  const Scopes& scopes;
  const std::vector<std::string>& groups;
};

enum class Standing {
  may_decide,
  not_named,     // neither by scope nor by group
  is_requester,  // named, but it is their own run and somebody else is asked for
};
Standing standing(const Approval& approval, const Approver& who, std::string_view requester);

enum class ApprovalStatus {
  open,
  approved,
  rejected,   // by the first who says no
  expired,    // nobody, or too few, said yes in time
  withdrawn,  // the run ended first
};
std::string_view to_string(ApprovalStatus status);
std::optional<ApprovalStatus> approval_status(std::string_view text);

}  // namespace kubiya::workflow
