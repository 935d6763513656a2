// SPDX-License-Identifier: Apache-2.0
#include "base/principal.h"

#include <fmt/format.h>

namespace kubiya {

Principal::Principal(PrincipalFacts facts) : facts_(std::move(facts)) {
  owner_ = fmt::format("{}:{},{}:{},{}:{}", facts_.tenant.size(), facts_.tenant,
                       facts_.issuer.size(), facts_.issuer, facts_.subject.size(), facts_.subject);
}

}  // namespace kubiya
