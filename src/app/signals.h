// SPDX-License-Identifier: Apache-2.0
//
// Signals, as the calling thread takes them.
#pragma once

#include <csignal>
#include <initializer_list>

namespace kubiya::app {

// Blocked in this thread until it ends; a thread started meanwhile inherits the mask for good.
class SignalsBlocked {
 public:
  explicit SignalsBlocked(std::initializer_list<int> signals) {
    sigemptyset(&set_);
    for (const int signal : signals) sigaddset(&set_, signal);
    pthread_sigmask(SIG_BLOCK, &set_, &before_);
  }
  ~SignalsBlocked() { pthread_sigmask(SIG_SETMASK, &before_, nullptr); }
  SignalsBlocked(const SignalsBlocked&) = delete;
  SignalsBlocked& operator=(const SignalsBlocked&) = delete;
  const sigset_t& set() const { return set_; }

 private:
  sigset_t set_{};
  sigset_t before_{};
};

}  // namespace kubiya::app
