// SPDX-License-Identifier: Apache-2.0
//
// Processes are recognised by what their environment says, which every descendant
// inherits, also one that left the group and session of its step.
#pragma once

#include <cstddef>

#include "workflow/definition.h"

namespace kubiya::engine {

// Kills (SIGKILL) every other process of this user whose environment holds all of `marks`, and
// looks again until none is left; gives up after a bounded number of rounds. Returns how many.
// A process that rewrote its own environment is not found: only a sandbox holds such a one.
std::size_t kill_marked(const workflow::Pairs& marks);

// True when a process of the group runs; zombies do not. Blocks shortly: reads /proc.
bool has_live_member(int process_group);

}  // namespace kubiya::engine
