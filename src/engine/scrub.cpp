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
  for (const Secret& secret : secrets_) {
    first_[static_cast<unsigned char>(secret.reveal().front())] = true;
  }
}

bool Scrubber::may_begin(std::string_view text) const {
  return std::ranges::any_of(secrets_, [&](const Secret& secret) {
    return secret.size() > text.size() && secret.reveal().starts_with(text);
  });
}

std::size_t Scrubber::longest_at(std::string_view text) const {
  for (const Secret& secret : secrets_) {
    if (text.starts_with(secret.reveal())) return secret.size();
  }
  return 0;
}

// Secrets that overlap are hidden as one.
Scrubber::Cut Scrubber::scrub(std::string_view text, std::size_t end, std::size_t covered,
                              bool is_last) const {
  Cut cut;
  for (; cut.at < end; ++cut.at) {
    const std::string_view rest = text.substr(cut.at);
    if (first_[static_cast<unsigned char>(rest[0])]) {
      if (!is_last && may_begin(rest)) break;
      const std::size_t length = longest_at(rest);
      if (length != 0 && cut.at >= covered) cut.ready += kRedacted;
      if (length != 0) covered = std::max(covered, cut.at + length);
    }
    if (cut.at >= covered) cut.ready += rest[0];
  }
  cut.covered = covered > cut.at ? covered - cut.at : 0;
  return cut;
}

std::string Scrubber::feed(std::string_view bytes) {
  pending_ += bytes;
  const Cut cut = scrub(pending_, pending_.size() - cut_character(pending_), covered_, false);
  pending_.erase(0, cut.at);
  covered_ = cut.covered;
  return to_utf8(cut.ready);
}

std::string Scrubber::finish() {
  const std::string rest = std::exchange(pending_, {});
  return to_utf8(scrub(rest, rest.size(), std::exchange(covered_, 0), true).ready);
}

std::string Scrubber::whole(std::string_view bytes) const {
  return to_utf8(scrub(bytes, bytes.size(), 0, true).ready);
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
