// SPDX-License-Identifier: Apache-2.0
#include "identity/api_key.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <tuple>

#include <fmt/format.h>

#include "base/encoding.h"
#include "base/ids.h"
#include "crypto/digest.h"
#include "identity/open_file.h"

namespace kubiya::identity {
namespace {

constexpr std::string_view kPrefix = "kb-";
constexpr std::size_t kIdChars = 12;
constexpr std::size_t kSecretChars = 43;  // 62^43 > 2^256
constexpr std::size_t kChecksumChars = 6;
constexpr std::size_t kBodyChars = kIdChars + kSecretChars;
constexpr std::size_t kKeyChars = kPrefix.size() + kBodyChars + kChecksumChars;
constexpr std::size_t kPepperBytes = 32;
constexpr std::string_view kBase62 =
    "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

bool is_base62(char c) {
  return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
}

// Bytes of 248 and more would favour the first digits.
void append_random(std::string& out, std::size_t count) {
  constexpr unsigned kUnbiased = 248;
  std::array<unsigned char, 64> bytes;
  while (count > 0) {
    random_bytes(bytes.data(), bytes.size());
    for (const unsigned char byte : bytes) {
      if (byte >= kUnbiased) continue;
      out += kBase62[byte % kBase62.size()];
      if (--count == 0) break;
    }
  }
  wipe_memory(bytes.data(), bytes.size());
}

std::array<char, kChecksumChars> checksum(std::string_view text) {
  std::array<char, kChecksumChars> out{};
  std::uint32_t rest = crc32(text);
  for (auto at = out.rbegin(); at != out.rend(); ++at) {
    *at = kBase62[rest % kBase62.size()];
    rest /= static_cast<std::uint32_t>(kBase62.size());
  }
  return out;
}

// Over id and secret, both of fixed length: a digest moved to another row fits nothing.
crypto::Digest key_digest(const Secret& pepper, std::string_view body) {
  return crypto::hmac_sha256(pepper.reveal(), body);
}

Result<Secret> read_pepper(const std::string& path) {
  const OpenFile file(path, O_RDONLY | O_NONBLOCK | O_NOFOLLOW);
  if (!file.is_open()) {
    const Code code = errno == ENOENT ? Code::not_found : Code::unavailable;
    return fail(code, fmt::format("cannot open the API key pepper {}: {}", path, errno_text()));
  }
  struct stat info{};
  if (::fstat(file.get(), &info) != 0 || !S_ISREG(info.st_mode)) {
    return fail(Code::corrupt, fmt::format("the API key pepper {} is not a regular file", path));
  }
  if ((info.st_mode & 077) != 0) {
    return fail(
        Code::invalid,
        fmt::format("the API key pepper {} can be read by others; run: chmod 600 {}", path, path));
  }
  std::array<char, kPepperBytes + 1> bytes;
  const auto size = ::read(file.get(), bytes.data(), bytes.size());
  if (size != static_cast<ssize_t>(kPepperBytes)) {
    return fail(Code::corrupt,
                fmt::format("the API key pepper {} does not hold {} bytes", path, kPepperBytes));
  }
  Secret pepper(std::string_view(bytes.data(), kPepperBytes));
  wipe_memory(bytes.data(), bytes.size());
  return pepper;
}

// Written under another name and linked into place, so that neither a crash nor
// a second process starting at the same time leaves half a pepper or two of them.
Result<> create_pepper(const std::string& path) {
  const std::string temporary = path + "." + random_id();
  std::array<char, kPepperBytes> bytes;
  random_bytes(bytes.data(), bytes.size());
  bool good = false;
  {
    const OpenFile file(temporary, O_WRONLY | O_CREAT | O_EXCL);
    good = file.is_open() &&
           ::write(file.get(), bytes.data(), bytes.size()) == static_cast<ssize_t>(bytes.size()) &&
           ::fsync(file.get()) == 0;
  }
  wipe_memory(bytes.data(), bytes.size());
  good = good && (::link(temporary.c_str(), path.c_str()) == 0 || errno == EEXIST);
  const std::string reason = good ? "" : errno_text();
  ::unlink(temporary.c_str());
  if (good) return {};
  return fail(Code::unavailable,
              fmt::format("cannot create the API key pepper {}: {}", path, reason));
}

}  // namespace

NewKey make_key(const Secret& pepper) {
  std::string text(kPrefix);
  text.reserve(kKeyChars);
  append_random(text, kBodyChars);
  const auto check = checksum(text);
  text.append(check.data(), check.size());

  const std::string_view body = std::string_view(text).substr(kPrefix.size(), kBodyChars);
  NewKey key;
  key.id = body.substr(0, kIdChars);
  key.digest = hex(crypto::view(key_digest(pepper, body)));
  key.hint = text.substr(text.size() - 4);
  key.key = Secret::take(std::move(text));
  return key;
}

bool looks_like_our_key(std::string_view text) {
  return text.size() == kKeyChars && text.starts_with(kPrefix) &&
         std::all_of(text.begin() + kPrefix.size(), text.end(), is_base62);
}

std::optional<KeyParts> parse_key(std::string_view text) {
  if (!looks_like_our_key(text)) return std::nullopt;
  const auto check = checksum(text.substr(0, kPrefix.size() + kBodyChars));
  if (text.substr(kPrefix.size() + kBodyChars) != std::string_view(check.data(), check.size())) {
    return std::nullopt;
  }
  return KeyParts{text.substr(kPrefix.size(), kIdChars),
                  text.substr(kPrefix.size() + kIdChars, kSecretChars)};
}

Result<Secret> open_pepper(const std::string& path, bool create) {
  auto pepper = read_pepper(path);
  if (pepper || !create || pepper.error().code != Code::not_found) return pepper;
  TRY_VOID(create_pepper(path));
  return read_pepper(path);
}

// As far as it decides anything; when a key was used last does not.
bool KeyBook::same(const Map& a, const Map& b) {
  const auto decides = [](const store::KeyRow& row) {
    return std::tie(row.digest, row.tenant, row.issuer, row.owner, row.scopes, row.expires_ms,
                    row.revoked_ms, row.retires_ms);
  };
  return a.size() == b.size() && std::all_of(a.begin(), a.end(), [&](const auto& entry) {
           const auto other = b.find(entry.first);
           return other != b.end() && decides(other->second) == decides(entry.second);
         });
}

void KeyBook::replace(std::vector<store::KeyRow> rows) {
  auto map = std::make_shared<Map>();
  map->reserve(rows.size());
  for (auto& row : rows) {
    std::string id = row.id;
    map->insert_or_assign(std::move(id), std::move(row));
  }
  {
    const std::lock_guard lock(mutex_);
    if (map_ && same(*map_, *map)) return;
    map_ = std::move(map);
  }
  epoch_.fetch_add(1, std::memory_order_release);
}

std::shared_ptr<const KeyBook::Map> KeyBook::snapshot() const {
  const std::lock_guard lock(mutex_);
  return map_;
}

Checked<store::KeyRow> KeyBook::check(std::string_view text, Wall now) const {
  const auto refuse = [](Reason reason) { return tl::unexpected(Failure{reason, {}}); };
  const auto parts = parse_key(text);
  if (!parts) return refuse(Reason::bad_api_key);

  static const std::string kNoDigest(2 * sizeof(crypto::Digest), '0');
  const auto map = snapshot();
  const auto found = map->find(std::string(parts->id));
  const bool known = found != map->end();
  const std::string& expected = known ? found->second.digest : kNoDigest;
  const std::string body_digest =
      hex(crypto::view(key_digest(pepper_, text.substr(kPrefix.size(), kBodyChars))));
  const bool equal = crypto::equal_constant_time(body_digest, expected);
  if (!known || !equal) return refuse(Reason::unknown_api_key);

  const store::KeyRow& row = found->second;
  if (row.revoked_ms != 0) return refuse(Reason::revoked_api_key);
  if (row.expires_ms != 0 && unix_ms(now) >= row.expires_ms) return refuse(Reason::expired_api_key);
  if (row.retires_ms != 0 && unix_ms(now) >= row.retires_ms) {
    return tl::unexpected(Failure{Reason::expired_api_key, "another key has taken its place"});
  }
  return row;
}

}  // namespace kubiya::identity
