// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include <fmt/format.h>

#include "audit/files.h"
#include "audit/layout.h"
#include "audit/reader.h"
#include "audit/record.h"
#include "audit/tree.h"
#include "audit/verify.h"
#include "base/encoding.h"

namespace kubiya::audit {
namespace {

constexpr std::string_view kKind = "kubiya-audit-proof";

std::uint64_t noted_size(std::string_view note) {
  // Line 2 of the note; its signature is checked by whoever receives the proof.
  const std::size_t begin = note.find('\n') + 1;
  std::uint64_t size = 0;
  for (const char c : note.substr(begin, note.find('\n', begin) - begin)) {
    if (c < '0' || c > '9') return 0;
    size = size * 10 + static_cast<std::uint64_t>(c - '0');
  }
  return size;
}

json::array encode(const Proof& proof) {
  json::array out;
  for (const Hash& hash : proof) out.emplace_back(base64(crypto::view(hash)));
  return out;
}

Result<Proof> decode(const json::array& array) {
  Proof proof;
  for (const auto& item : array) {
    const auto bytes = item.is_string() ? unbase64(view(item.get_string())) : std::nullopt;
    if (!bytes || bytes->size() != sizeof(Hash)) return fail(Code::corrupt, "malformed proof hash");
    proof.emplace_back();
    std::copy(bytes->begin(), bytes->end(), proof.back().begin());
  }
  return proof;
}

}  // namespace

Result<std::string> prove(const std::string& directory, std::string_view run_id) {
  const std::string note = TRY(real_files().read(checkpoint_path(directory)));
  const std::uint64_t signed_size = noted_size(note);
  const RunRecords run = TRY(RunRecords::find(directory, run_id));
  HashTree tree;
  std::vector<std::pair<std::uint64_t, std::string>> chosen;
  TRY_VOID(for_each_line(directory, [&](const Line& line) {
    if (tree.size() == signed_size) return false;
    const auto record = parse_record(line.text);
    if (record && run.about(*record)) {
      chosen.emplace_back(tree.size(), line.text);
    }
    tree.append(leaf_hash(line.text));
    return true;
  }));
  if (tree.size() < signed_size) {
    return fail(Code::corrupt, "the journal is shorter than its checkpoint; run `audit verify`");
  }
  if (chosen.empty()) {
    return fail(Code::not_found, "no signed audit record is about run " + printable(run_id));
  }
  json::array records;
  for (const auto& [index, text] : chosen) {
    records.push_back(json::object{
        {"index", index}, {"record", text}, {"proof", encode(tree.inclusion(index, signed_size))}});
  }
  json::object bundle{{"kind", kKind}, {"v", 1}, {"run_id", run_id}, {"checkpoint", note}};
  bundle["records"] = std::move(records);
  return to_json(bundle) + "\n";
}

Result<ProofReport> verify_proof(std::string_view bundle, std::string_view public_key) {
  const NoteVerifier verifier = TRY(NoteVerifier::parse(public_key));
  if (bundle.ends_with('\n')) bundle.remove_suffix(1);
  const auto value = parse_json(bundle);
  const auto* object = value ? value->if_object() : nullptr;
  if (object == nullptr || find_string(*object, "kind") != kKind || find_int(*object, "v") != 1) {
    return fail(Code::corrupt, "not a proof bundle");
  }
  const auto note = find_string(*object, "checkpoint");
  const auto run_id = find_string(*object, "run_id");
  const auto* records = find_array(*object, "records");
  if (!note || !run_id || records == nullptr) return fail(Code::corrupt, "not a proof bundle");

  ProofReport report{std::string(*run_id), TRY(verifier.open(*note)), {}};
  std::optional<std::uint64_t> before;
  for (const auto& item : *records) {
    const auto* entry = item.if_object();
    const auto index = entry != nullptr ? find_int(*entry, "index") : std::nullopt;
    const auto text = entry != nullptr ? find_string(*entry, "record") : std::nullopt;
    const auto* path = entry != nullptr ? find_array(*entry, "proof") : nullptr;
    if (!index || *index < 0 || !text || path == nullptr) {
      return fail(Code::corrupt, "a record of the bundle is malformed");
    }
    const auto place = static_cast<std::uint64_t>(*index);
    const Record record = TRY(parse_record(*text));
    if (record.sequence != place || (before && place <= *before)) {
      return fail(Code::corrupt, fmt::format("record {} is not in its place", place));
    }
    before = place;
    const Proof proof = TRY(decode(*path));
    if (!verify_inclusion(place, report.checkpoint.size, leaf_hash(*text), proof,
                          report.checkpoint.root)) {
      return fail(Code::corrupt, fmt::format("record {} is not in the signed tree", place));
    }
    report.records.emplace_back(*text);
  }
  if (std::none_of(report.records.begin(), report.records.end(), [&](const std::string& line) {
        return parse_record(line)->run_id == report.run_id;
      })) {
    return fail(Code::corrupt, "the bundle holds no record about its run");
  }
  return report;
}

}  // namespace kubiya::audit
