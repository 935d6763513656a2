// SPDX-License-Identifier: Apache-2.0
#include "mcp/header_params.h"

#include <gtest/gtest.h>

namespace kubiya::mcp {
namespace {

std::shared_ptr<const tools::Tool> tool() {
  tools::ToolSpec spec;
  spec.operation = {"place", {}, policy::Effect::reads, false};
  spec.input_schema =
      R"({"type":"object","properties":{"region":{"type":"string","x-mcp-header":"Region"},)"
      R"("count":{"type":"integer","x-mcp-header":"Count"},"deep":{"type":"object","properties":)"
      R"({"on":{"type":"boolean","x-mcp-header":"On"}}}}})";
  return *tools::Registry::make(std::move(spec), tools::Tool::ReadHandler());
}

// What is wrong, or nothing.
std::string fault(const json::object& arguments, std::vector<http::Header> headers) {
  http::Request request;
  request.headers = headers;
  const auto found = header_fault(request, *tool(), arguments);
  if (!found) return "";
  EXPECT_EQ(found->code, rpc::kHeaderMismatch);
  return found->message;
}

TEST(HeaderParams, AreComparedWithWhatTheBodySays) {
  EXPECT_EQ(fault({{"region", "eu"}}, {{"mcp-param-region", "eu"}}), "");
  EXPECT_EQ(fault({{"region", "eu"}}, {{"Mcp-Param-Region", "=?base64?ZXU=?="}}), "");
  EXPECT_EQ(fault({{"count", 42}}, {{"Mcp-Param-Count", "42.0"}}), "") << "numbers are numbers";
  EXPECT_EQ(fault({{"deep", {{"on", true}}}}, {{"Mcp-Param-On", "true"}}), "");
  EXPECT_NE(fault({{"region", "eu"}}, {{"Mcp-Param-Region", "us"}}), "");
  EXPECT_NE(fault({{"region", "eu"}}, {{"Mcp-Param-Region", "EU"}}), "") << "values have case";
  EXPECT_NE(fault({{"count", 42}}, {{"Mcp-Param-Count", "42x"}}), "");
  EXPECT_NE(fault({{"deep", {{"on", true}}}}, {{"Mcp-Param-On", "1"}}), "");
  EXPECT_NE(fault({{"region", "eu"}}, {{"Mcp-Param-Region", "=?base64?ZXU?="}}), "") << "padding";
}

TEST(HeaderParams, AreThereOnceWhereTheArgumentIs) {
  EXPECT_NE(fault({{"region", "eu"}}, {}), "");
  EXPECT_NE(fault({{"region", "eu"}}, {{"Mcp-Param-Region", "eu"}, {"Mcp-Param-Region", "eu"}}),
            "");
  EXPECT_EQ(fault({}, {{"Mcp-Param-Region", "eu"}}), "") << "nothing is expected of an absent one";
  EXPECT_EQ(fault({{"region", nullptr}}, {}), "");
}

}  // namespace
}  // namespace kubiya::mcp
