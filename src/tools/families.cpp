// SPDX-License-Identifier: Apache-2.0
#include "tools/families.h"

namespace kubiya::tools {

Result<> fill_catalogue(Catalogue& catalogue, const Services& services) {
  // The tool without arguments comes first: some clients try the first one to see whether calls
  // work.
  TRY_VOID(add_identity_tools(catalogue.tools(), services));
  TRY_VOID(add_workflow_tools(catalogue.tools(), services));
  TRY_VOID(add_run_tools(catalogue.tools(), services));
  TRY_VOID(add_prompts(catalogue, services));
  add_resources(catalogue, services);
  add_run_tasks(catalogue, services);
  return {};
}

}  // namespace kubiya::tools
