// SPDX-License-Identifier: Apache-2.0
//
// Processes are recognised by what their environment says, which every descendant
// inherits, also one that left the group and session of its step. All of this reads
// /proc and blocks shortly: not for the loop.
#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "workflow/definition.h"

namespace kubiya::engine {

// Kills (SIGKILL) every other process of this user whose environment holds all entries of one of
// `marks`, and looks again until none is left and none that may be one is within execve; gives up
// after a bounded number of rounds. Returns how many. A process that rewrote its own environment is
// not found: only a sandbox holds such a one.
std::size_t kill_marked(std::span<const workflow::Pairs> marks);

// True when a process of the group runs; zombies do not.
bool has_live_member(int process_group);

// Processes that have ended and wait for this one to take notice.
std::vector<int> zombie_children();

}  // namespace kubiya::engine
