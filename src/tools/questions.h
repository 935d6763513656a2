// SPDX-License-Identifier: Apache-2.0
//
// What a run waits for and its own caller may decide, asked of the person behind the client with
// a form. An answer is decide_approval by another way, so the policy is asked the same of both.
// Whom else the approval names decides with that tool. Worker threads only.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "audit/journal.h"
#include "base/result.h"
#include "policy/policy.h"
#include "store/approvals.h"
#include "tools/families.h"
#include "tools/registry.h"

namespace kubiya::tools {

// Of decide_approval.
const policy::Operation& decide_operation();

// Those of `approvals` that are open and that this person may decide and has not.
Result<std::vector<store::ApprovalRow>> open_to(const Services& services,
                                                const PrincipalPtr& principal,
                                                std::vector<store::ApprovalRow> approvals);
// Of all of the run, in the order of asking.
Result<std::vector<store::ApprovalRow>> open_to(const Services& services,
                                                const PrincipalPtr& principal,
                                                const std::string& run_id);

// Its key is the approval's for as long as it is open.
InputRequest question_of(const store::ApprovalRow& approval);

// What was said to some of the questions.
struct Said {
  std::vector<engine::Vote> votes;
  std::vector<std::string> declined;  // approvals that the person does not want to decide here
};
// Code::invalid for an answer that is none to what was asked. Other answers are left alone.
Result<Said> said_to(const std::vector<store::ApprovalRow>& asked, const json::object& answers);

// Casts all of them, or none when the policy refuses one: Code::forbidden. That an approval was
// decided or withdrawn meanwhile is no error. `done` runs on the engine's thread, or inside the
// call when nothing is cast.
void cast(const Services& services, const PrincipalPtr& principal,
          const audit::DurableTicket& ticket, std::vector<engine::Vote> votes,
          const std::function<void(Result<>)>& done);

}  // namespace kubiya::tools
