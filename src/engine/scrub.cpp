// SPDX-License-Identifier: Apache-2.0
#include "engine/scrub.h"

#include <algorithm>
#include <utility>

#include "base/encoding.h"

namespace kubiya::engine {
namespace {

constexpr std::string_view kRedacted = "[redacted]";
constexpr std::string_view kReplacement = "\xEF\xBF\xBD";

std::size_t length_by_lead(unsigned char lead) {
  if (lead < 0x80) return 1;
  if (lead >= 0xC2 && lead < 0xE0) return 2;
  if (lead >= 0xE0 && lead < 0xF0) return 3;
  if (lead >= 0xF0 && lead < 0xF5) return 4;
  return 0;
}

bool is_continuation(char byte) { return (static_cast<unsigned char>(byte) & 0xC0) == 0x80; }

// How many bytes at the end are the start of a character that is not there yet.
std::size_t cut_character(std::string_view text) {
  for (std::size_t back = 1; back <= std::min<std::size_t>(3, text.size()); ++back) {
    const char byte = text[text.size() - back];
    if (is_continuation(byte)) continue;
    return length_by_lead(static_cast<unsigned char>(byte)) > back ? back : 0;
  }
  return 0;
}

}  // namespace

std::string to_utf8(std::string_view bytes) {
  if (is_utf8(bytes)) return std::string(bytes);
  std::string out;
  for (std::size_t i = 0; i < bytes.size();) {
    const std::size_t length = length_by_lead(static_cast<unsigned char>(bytes[i]));
    if (length != 0 && i + length <= bytes.size() && is_utf8(bytes.substr(i, length))) {
      out += bytes.substr(i, length);
      i += length;
    } else {
      out += kReplacement;
      ++i;
    }
  }
  return out;
}

Scrubber::Scrubber(std::vector<Secret> secrets) : secrets_(std::move(secrets)) {
  std::erase_if(secrets_, [](const Secret& secret) { return secret.size() < kShortest; });
  std::sort(secrets_.begin(), secrets_.end(),
            [](const Secret& a, const Secret& b) { return a.size() > b.size(); });
}

void Scrubber::replace_all(std::string& text) const {
  for (const Secret& secret : secrets_) {
    for (auto at = text.find(secret.reveal()); at != std::string::npos;
         at = text.find(secret.reveal(), at + kRedacted.size())) {
      text.replace(at, secret.size(), kRedacted);
    }
  }
}

std::size_t Scrubber::held_back(std::string_view text) const {
  std::size_t longest = cut_character(text);
  for (const Secret& secret : secrets_) {
    for (std::size_t length = std::min(secret.size() - 1, text.size()); length > longest;
         --length) {
      if (text.ends_with(secret.reveal().substr(0, length))) longest = length;
    }
  }
  return longest;
}

std::string Scrubber::feed(std::string_view bytes) {
  pending_ += bytes;
  replace_all(pending_);
  const std::size_t kept = held_back(pending_);
  const std::string ready = pending_.substr(0, pending_.size() - kept);
  pending_.erase(0, ready.size());
  return to_utf8(ready);
}

std::string Scrubber::finish() { return to_utf8(std::exchange(pending_, {})); }

std::string Scrubber::whole(std::string_view bytes) const {
  std::string text(bytes);
  replace_all(text);
  return to_utf8(text);
}

std::string Allowance::take(std::string text) {
  if (text.size() > left_) {
    std::size_t keep = left_;
    while (keep > 0 && is_continuation(text[keep])) --keep;
    dropped_ += text.size() - keep;
    text.resize(keep);
    left_ = 0;
    return text;
  }
  left_ -= text.size();
  return text;
}

std::size_t Allowance::dropped() { return std::exchange(dropped_, 0); }

}  // namespace kubiya::engine
