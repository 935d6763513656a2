// SPDX-License-Identifier: Apache-2.0
#include "audit/files.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <system_error>
#include <utility>

namespace kubiya::audit {
namespace {

tl::unexpected<Error> io_error(Code code, const char* what, const std::string& path, int error) {
  return fail(code, std::string("the audit journal cannot ") + what,
              path + ": " + std::generic_category().message(error));
}

class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  ~Descriptor() {
    if (fd_ >= 0) ::close(fd_);
  }
  Descriptor(Descriptor&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Descriptor& operator=(Descriptor&&) = delete;
  int get() const { return fd_; }
  bool valid() const { return fd_ >= 0; }

 private:
  int fd_;
};

Descriptor open_file(const std::string& path, int flags, mode_t mode = 0) {
  return Descriptor(::open(path.c_str(), flags | O_CLOEXEC, mode));
}

Result<> write_all(int fd, std::string_view bytes, const std::string& path) {
  while (!bytes.empty()) {
    const ssize_t n = ::write(fd, bytes.data(), bytes.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return io_error(Code::unavailable, "write", path, errno);
    bytes.remove_prefix(static_cast<std::size_t>(n));
  }
  return {};
}

Result<> sync_parent(const std::string& path) {
  const std::string parent = path.substr(0, path.rfind('/'));
  const Descriptor directory = open_file(parent.empty() ? "/" : parent, O_RDONLY | O_DIRECTORY);
  if (!directory.valid()) return io_error(Code::unavailable, "open its directory", parent, errno);
  if (::fsync(directory.get()) != 0) {
    return io_error(Code::corrupt, "sync its directory", parent, errno);
  }
  return {};
}

class RealAppendFile final : public AppendFile {
 public:
  RealAppendFile(Descriptor fd, std::string path, std::uint64_t size)
      : fd_(std::move(fd)), path_(std::move(path)), size_(size) {}

  Result<> append(std::string_view bytes) override {
    TRY_VOID(write_all(fd_.get(), bytes, path_));
    size_ += bytes.size();
    return {};
  }
  Result<> truncate(std::uint64_t size) override {
    if (::ftruncate(fd_.get(), static_cast<off_t>(size)) != 0) {
      return io_error(Code::corrupt, "truncate", path_, errno);
    }
    size_ = size;
    return {};
  }
  // EINTR is a failure too: after any error the kernel may have dropped the dirty pages.
  Result<> sync() override {
    if (::fdatasync(fd_.get()) != 0) return io_error(Code::corrupt, "sync", path_, errno);
    return {};
  }
  std::uint64_t size() const override { return size_; }

 private:
  Descriptor fd_;
  std::string path_;
  std::uint64_t size_;
};

class RealLock final : public DirectoryLock {
 public:
  explicit RealLock(Descriptor fd) : fd_(std::move(fd)) {}

 private:
  Descriptor fd_;
};

class RealFiles final : public Files {
 public:
  Result<> make_directory(const std::string& path) override {
    for (std::size_t slash = path.find('/', 1);; slash = path.find('/', slash + 1)) {
      const std::string part = path.substr(0, slash);
      if (::mkdir(part.c_str(), 0700) == 0) {
        TRY_VOID(sync_parent(part.find('/') == std::string::npos ? "./" + part : part));
      } else if (errno != EEXIST) {
        return io_error(Code::unavailable, "create its directory", part, errno);
      }
      if (slash == std::string::npos) return {};
    }
  }

  Result<std::unique_ptr<DirectoryLock>> lock(const std::string& path) override {
    Descriptor fd = open_file(path, O_RDWR | O_CREAT, 0600);
    if (!fd.valid()) return io_error(Code::unavailable, "open its lock", path, errno);
    if (::flock(fd.get(), LOCK_EX | LOCK_NB) != 0) {
      return io_error(Code::conflict, "be opened twice; another process has it", path, errno);
    }
    return std::make_unique<RealLock>(std::move(fd));
  }

  Result<std::vector<std::string>> list(const std::string& directory) override {
    DIR* handle = ::opendir(directory.c_str());
    if (handle == nullptr)
      return io_error(Code::unavailable, "list its directory", directory, errno);
    std::vector<std::string> names;
    while (const dirent* entry = ::readdir(handle)) names.emplace_back(entry->d_name);
    ::closedir(handle);
    std::sort(names.begin(), names.end());
    return names;
  }

  Result<std::string> read(const std::string& path, std::uint64_t offset) override {
    const Descriptor fd = open_file(path, O_RDONLY);
    if (!fd.valid()) {
      const Code code = errno == ENOENT ? Code::not_found : Code::unavailable;
      return io_error(code, "open a file", path, errno);
    }
    std::string out;
    struct stat facts{};
    if (::fstat(fd.get(), &facts) == 0 && facts.st_size > static_cast<off_t>(offset)) {
      out.reserve(static_cast<std::size_t>(facts.st_size) - offset);
    }
    std::string buffer(256 * 1024, '\0');
    for (;;) {
      const ssize_t n = ::pread(fd.get(), buffer.data(), buffer.size(), static_cast<off_t>(offset));
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) return io_error(Code::unavailable, "read", path, errno);
      if (n == 0) return out;
      out.append(buffer, 0, static_cast<std::size_t>(n));
      offset += static_cast<std::uint64_t>(n);
    }
  }

  Result<std::uint64_t> size(const std::string& path) override {
    struct stat facts{};
    if (::stat(path.c_str(), &facts) == 0) return static_cast<std::uint64_t>(facts.st_size);
    const Code code = errno == ENOENT ? Code::not_found : Code::unavailable;
    return io_error(code, "inspect a file", path, errno);
  }

  Result<std::unique_ptr<AppendFile>> open_append(const std::string& path) override {
    Descriptor fd = open_file(path, O_WRONLY | O_APPEND | O_CREAT, 0640);
    if (!fd.valid()) return io_error(Code::unavailable, "open a file", path, errno);
    struct stat facts{};
    if (::fstat(fd.get(), &facts) != 0) {
      return io_error(Code::unavailable, "inspect a file", path, errno);
    }
    const auto size = static_cast<std::uint64_t>(facts.st_size);
    // Not only when it was made now: an earlier attempt may have failed between the two.
    if (size == 0) TRY_VOID(sync_parent(path));
    return std::make_unique<RealAppendFile>(std::move(fd), path, size);
  }

  Result<> replace(const std::string& path, std::string_view bytes, Durability durability,
                   Privacy privacy) override {
    const std::string temporary = path + ".new";
    ::unlink(temporary.c_str());
    const Descriptor fd = open_file(temporary, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW,
                                    privacy == Privacy::owner_only ? 0600 : 0644);
    if (!fd.valid()) return io_error(Code::unavailable, "create a file", temporary, errno);
    TRY_VOID(write_all(fd.get(), bytes, temporary));
    if (durability == Durability::synced && ::fsync(fd.get()) != 0) {
      return io_error(Code::corrupt, "sync", temporary, errno);
    }
    if (::rename(temporary.c_str(), path.c_str()) != 0) {
      return io_error(Code::unavailable, "rename a file", path, errno);
    }
    if (durability == Durability::synced) TRY_VOID(sync_parent(path));
    return {};
  }
};

}  // namespace

Files& real_files() {
  static RealFiles files;
  return files;
}

}  // namespace kubiya::audit
