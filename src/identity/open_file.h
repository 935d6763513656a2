// SPDX-License-Identifier: Apache-2.0
//
// An owned file descriptor.
#pragma once

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <string>
#include <system_error>

namespace kubiya::identity {

class OpenFile {
 public:
  // Close-on-exec; a file that this creates has mode 0600.
  OpenFile(const std::string& path, int flags)
      : fd_(::open(path.c_str(), flags | O_CLOEXEC, 0600)) {}
  ~OpenFile() {
    if (fd_ >= 0) ::close(fd_);
  }
  OpenFile(const OpenFile&) = delete;
  OpenFile& operator=(const OpenFile&) = delete;

  bool is_open() const { return fd_ >= 0; }
  int get() const { return fd_; }

 private:
  int fd_;
};

inline std::string errno_text() { return std::generic_category().message(errno); }

}  // namespace kubiya::identity
