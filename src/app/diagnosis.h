// SPDX-License-Identifier: Apache-2.0
//
// A doctor's findings as people and programs read them. Pure.
#pragma once

#include <string>
#include <vector>

#include "identity/checkup.h"

namespace kubiya::app {

struct Diagnosis {
  identity::IssuerOptions issuer;
  std::vector<identity::Finding> findings;
  identity::IssuerOptions fitting;  // the keys that would do
};

bool has_blocker(const std::vector<Diagnosis>& diagnoses);
std::string diagnosis_text(const std::vector<Diagnosis>& diagnoses);
// One JSON object and a newline.
std::string diagnosis_json(const std::vector<Diagnosis>& diagnoses);

}  // namespace kubiya::app
