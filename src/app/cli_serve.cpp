// SPDX-License-Identifier: Apache-2.0
#include "app/application.h"
#include "app/cli.h"

namespace kubiya::app::cli {

int run_serve(const Installation& where) {
  const Result<Config> config = load(where);
  if (!config) {
    complain(config.error());
    return kUsage;
  }
  if (const Result<> files = check_files(*config); !files) return complain(files.error());
  return serve(*config);
}

}  // namespace kubiya::app::cli
