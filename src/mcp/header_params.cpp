// SPDX-License-Identifier: Apache-2.0
#include "mcp/header_params.h"

#include <charconv>

#include <fmt/format.h>

namespace kubiya::mcp {
namespace {

// A whole number however either side writes it.
bool same_number(std::string_view header, const json::value& value) {
  double given = 0;
  const auto read = std::from_chars(header.data(), header.data() + header.size(), given);
  return read.ec == std::errc() && read.ptr == header.data() + header.size() &&
         given == value.to_number<double>();
}

bool same(std::string_view header, const json::value& value) {
  if (const auto* text = value.if_string()) return header == view(*text);
  if (const auto* truth = value.if_bool()) return header == (*truth ? "true" : "false");
  return value.is_number() && same_number(header, value);
}

const json::value* at_path(const json::object& arguments, const std::vector<std::string>& path) {
  const json::value* value = nullptr;
  const json::object* object = &arguments;
  for (const auto& name : path) {
    value = object != nullptr ? find(*object, name) : nullptr;
    if (value == nullptr) return nullptr;
    object = value->if_object();
  }
  return value;
}

}  // namespace

std::optional<ProtocolError> header_fault(const http::Request& request, const tools::Tool& tool,
                                          const json::object& arguments) {
  const auto refuse = [](const std::string& header, std::string_view why) {
    return ProtocolError{
        400, rpc::kHeaderMismatch, fmt::format("The {} header {}", header, why), {}};
  };
  for (const auto& param : tool.header_params()) {
    const json::value* value = at_path(arguments, param.path);
    if (value == nullptr || value->is_null()) continue;
    const std::size_t count = request.count(param.header);
    if (count == 0) return refuse(param.header, "is missing");
    if (count > 1) return refuse(param.header, "is repeated");
    const auto text = decode_header_text(request.header(param.header));
    if (!text) return refuse(param.header, "is neither plain text nor base64");
    if (!same(*text, *value)) return refuse(param.header, "differs from the body");
  }
  return std::nullopt;
}

}  // namespace kubiya::mcp
