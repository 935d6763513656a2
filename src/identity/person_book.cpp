// SPDX-License-Identifier: Apache-2.0
#include "identity/person_book.h"

#include <fmt/format.h>

namespace kubiya::identity {
namespace {

// Two lengths tell where the fields end.
std::string place(std::string_view tenant, std::string_view issuer, std::string_view kind,
                  std::string_view name) {
  return fmt::format("{}:{},{}:{},{},{}", tenant.size(), tenant, issuer.size(), issuer, kind, name);
}

// In whichever tenant.
std::string everywhere(std::string_view issuer, std::string_view subject) {
  return fmt::format("{}:{},{}", issuer.size(), issuer, subject);
}

std::string place(const Person& person) {
  return place(person.tenant, person.issuer, store::kVaultSubject, person.subject);
}

}  // namespace

const PersonBook& PersonBook::nobody() {
  static const PersonBook none;
  return none;
}

void PersonBook::replace(std::vector<store::VaultRow> vault, std::shared_ptr<const VaultKeys> keys,
                         const std::vector<store::CutoffRow>& cutoffs) {
  auto book = std::make_shared<Book>();
  for (const store::CutoffRow& row : cutoffs) {
    book->cutoffs.insert_or_assign(
        everywhere(row.issuer, row.subject),
        Cutoff{row.lifted_ms == 0, row.lifted_ms == 0 ? Wall{} : from_unix_ms(row.lifted_ms)});
  }
  book->keys = std::move(keys);
  book->vault.reserve(vault.size());
  for (store::VaultRow& row : vault) {
    std::string at = place(row.tenant, row.issuer, row.kind, row.name);
    book->vault.insert_or_assign(std::move(at), std::move(row));
  }
  {
    const std::lock_guard lock(mutex_);
    book_ = std::move(book);
  }
  epoch_.fetch_add(1, std::memory_order_release);
}

std::shared_ptr<const PersonBook::Book> PersonBook::snapshot() const {
  const std::lock_guard lock(mutex_);
  return book_;
}

Checked<std::optional<Secret>> PersonBook::open(const Book& book, const std::string& place) {
  const auto found = book.vault.find(place);
  if (found == book.vault.end()) return std::nullopt;
  if (!book.keys) return fail(Reason::vault_key_unknown, "this server has no vault key");
  return TRY(book.keys->open(found->second));
}

Checked<std::optional<Secret>> PersonBook::key_of(const Person& person) const {
  const auto book = snapshot();
  if (book->vault.empty()) return std::nullopt;
  return open(*book, place(person));
}

Checked<std::optional<Secret>> PersonBook::key_under(const Person& person,
                                                     std::string_view reference) const {
  auto key = TRY(
      open(*snapshot(), place(person.tenant, person.issuer, store::kVaultReference, reference)));
  if (!key) return fail(Reason::key_reference_unknown, "the vault keeps no key of that name");
  return key;
}

std::optional<Cutoff> PersonBook::cutoff(const Person& person) const {
  const auto book = snapshot();
  if (book->cutoffs.empty()) return std::nullopt;
  const auto found = book->cutoffs.find(everywhere(person.issuer, person.subject));
  return found == book->cutoffs.end() ? std::nullopt : std::optional(found->second);
}

// A sealed text begins with a random nonce: no two are the same. A moment is odd here, so that it
// is never nothing.
std::size_t PersonBook::stamp(const Person& person) const {
  std::size_t out = 0;
  if (const auto cut = cutoff(person)) {
    out = cut->in_force ? 1 : static_cast<std::size_t>(unix_ms(cut->lifted)) * 2 + 1;
  }
  const auto book = snapshot();
  if (book->vault.empty()) return out;
  const auto found = book->vault.find(place(person));
  if (found == book->vault.end()) return out;
  return out ^ std::hash<std::string>()(found->second.sealed);
}

}  // namespace kubiya::identity
