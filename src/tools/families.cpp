// SPDX-License-Identifier: Apache-2.0
#include "tools/families.h"

#include "tools/published.h"
#include "tools/run_page.h"

namespace kubiya::tools {

void look_again(const Services& services, std::function<void()> look) {
  constexpr std::chrono::milliseconds kPause{250};
  services.timers.add(
      services.clock.mono() + kPause,
      [&workers = services.workers, look = std::move(look)] { workers.submit_always(look); });
}

Result<> fill_catalogue(Catalogue& catalogue, const Services& given) {
  Services services = given;
  services.published = std::make_shared<Published>(given, catalogue.tools(), execute_workflow);
  // The tool without arguments comes first: some clients try the first one to see whether calls
  // work.
  TRY_VOID(add_identity_tools(catalogue.tools(), services));
  TRY_VOID(add_workflow_tools(catalogue.tools(), services));
  TRY_VOID(add_run_tools(catalogue.tools(), services));
  TRY_VOID(add_approval_tools(catalogue.tools(), services));
  TRY_VOID(add_key_tools(catalogue.tools(), services));
  TRY_VOID(add_vault_tools(catalogue.tools(), services));
  TRY_VOID(add_prompts(catalogue, services));
  add_resources(catalogue, services);
  add_run_page(catalogue);
  add_run_tasks(catalogue, services);
  // Names of the server's own tools are known now.
  TRY_VOID(services.published->refresh());
  catalogue.set_source(services.published);
  return {};
}

}  // namespace kubiya::tools
