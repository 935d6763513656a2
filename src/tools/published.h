// SPDX-License-Identifier: Apache-2.0
//
// Workflows that appear as tools of their own: those whose definition says `publish`.
#pragma once

#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "tools/catalogue.h"
#include "tools/families.h"

namespace kubiya::tools {

// Look-ups do not block; what is shown is as of the last refresh. Any thread.
class Published final : public ToolSource {
 public:
  using Run = std::function<void(const Services&, const std::shared_ptr<const Call>&,
                                 const audit::DurableTicket&, const Done&)>;
  // `own` are the server's tools, whose names are taken; it outlives this. `run` is what
  // execute_workflow does.
  Published(const Services& services, const Registry& own, Run run);

  std::shared_ptr<const Tool> find(std::string_view tenant, std::string_view name) override;
  std::vector<std::shared_ptr<const Tool>> list(std::string_view tenant) override;

  // Blocks on the database. What cannot be a tool any more is left out, and said in the log.
  Result<> refresh();
  // Blocks. Says that the tools have changed if they have.
  void refresh(const std::string& tenant);
  // Code::conflict when this workflow would appear under a name that is taken.
  Result<> check(const std::string& tenant, const workflow::Definition& definition);

 private:
  using Tools = std::map<std::string, std::shared_ptr<const Tool>, std::less<>>;

  Result<std::shared_ptr<const Tool>> make(const workflow::Definition& definition);
  const policy::Operation& operation(const std::vector<std::string>& scopes);
  Tools tools_of(const std::vector<store::WorkflowRow>& rows);

  const Services services_;
  const Registry& own_;
  const Run run_;
  std::mutex mutex_;
  std::map<std::string, Tools, std::less<>> by_tenant_;
  // Permits point to operations, so none is ever given up; there is one for each set of scopes.
  std::deque<policy::Operation> operations_;
};

}  // namespace kubiya::tools
