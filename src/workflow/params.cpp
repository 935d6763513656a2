// SPDX-License-Identifier: Apache-2.0
#include "workflow/params.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <cmath>

#include "base/encoding.h"
#include "workflow/expand.h"
#include "workflow/form.h"
#include "workflow/names.h"

namespace kubiya::workflow {
namespace {

constexpr std::array<std::string_view, 6> kParamFields = {"default", "required", "description",
                                                          "secret",  "type",     "enum"};
constexpr std::array<std::string_view, 4> kParamTypes = {"string", "number", "integer", "boolean"};
constexpr std::size_t kMostChoices = 200;

// Whether `text` is a value of that type, as a shell will see it.
bool fits_type(std::string_view type, const std::string& text) {
  if (type.empty() || type == "string") return true;
  if (type == "boolean") return text == "true" || text == "false";
  const auto value = parse_json(text);
  if (!value || !value->is_number()) return false;
  return type == "number" || !value->is_double() ||
         std::trunc(value->get_double()) == value->get_double();
}

// What is wrong with a value, or nothing.
std::optional<std::string> value_fault(const Param& param, const std::string& text) {
  if (!fits_type(param.type, text)) return fmt::format("must be of type {}", param.type);
  const bool chosen = param.choices.empty() || std::find(param.choices.begin(), param.choices.end(),
                                                         text) != param.choices.end();
  if (!chosen) return fmt::format("must be one of {}", fmt::join(param.choices, ", "));
  return std::nullopt;
}

// Blank-separated words; quotes group, a backslash inside double quotes takes the next character.
std::vector<std::string> split_words(std::string_view text) {
  std::vector<std::string> words;
  std::string word;
  bool in_word = false;
  char quote = 0;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (quote == '"' && c == '\\' && i + 1 < text.size()) {
      word += text[++i];
    } else if (quote != 0) {
      if (c == quote)
        quote = 0;
      else
        word += c;
    } else if (c == '"' || c == '\'') {
      quote = c;
      in_word = true;
    } else if (c == ' ' || c == '\t' || c == '\n') {
      if (in_word) words.push_back(std::exchange(word, {}));
      in_word = false;
    } else {
      word += c;
      in_word = true;
    }
  }
  if (in_word) words.push_back(std::move(word));
  return words;
}

class ParamReader {
 public:
  explicit ParamReader(Reader& reader) : reader_(reader) {}

  std::vector<Param> read(const Field& field) {
    if (field.value->is_null()) return {};
    if (field.value->is_array()) {
      for (const Field& item : reader_.one_or_many(field)) list_item(item);
    } else if (field.value->is_object()) {
      for (const auto& [name, value] : reader_.pairs(field)) named(name, value);
    } else {
      for (const std::string& word : split_words(reader_.text(field))) this->word(word, field);
    }
    if (params_.size() > reader_.limits().params) {
      reader_.problem(field, fmt::format("more than {} params", reader_.limits().params));
    }
    return std::move(params_);
  }

 private:
  void list_item(const Field& item) {
    if (item.value->is_object()) {
      for (const auto& [name, value] : reader_.pairs(item)) named(name, value);
    } else {
      word(reader_.scalar_text(item), item);
    }
  }

  void word(const std::string& word, const Field& field) {
    const std::size_t equals = word.find('=');
    const bool has_name = equals != std::string::npos && equals > 0;
    Param param;
    param.name = has_name ? word.substr(0, equals) : std::to_string(params_.size() + 1);
    param.default_value = has_name ? word.substr(equals + 1) : word;
    if (has_name) check_name(param.name, field);
    add(std::move(param), field);
  }

  void named(const std::string& name, const Field& field) {
    check_name(name, field);
    Param param;
    param.name = name;
    if (const json::object* object = field.value->if_object()) {
      for (const auto& member : *object) {
        detail(param, member.key(), reader_.member(field, member.key(), member.value()));
      }
      check_values(param, field);
    } else {
      param.default_value = reader_.scalar_text(field);
    }
    add(std::move(param), field);
  }

  // Once all of a param is read, whatever the order of its members.
  void check_values(const Param& param, const Field& field) {
    for (const auto& choice : param.choices) {
      if (!fits_type(param.type, choice))
        reader_.problem(field,
                        fmt::format("enum: {} is not of type {}", printable(choice), param.type));
    }
    if (!param.default_value) return;
    if (const auto fault = value_fault(param, *param.default_value))
      reader_.problem(field, "default " + *fault);
  }

  void detail(Param& param, std::string_view key, const Field& field) {
    if (key == "default") {
      if (!field.value->is_null()) param.default_value = reader_.scalar_text(field);
    } else if (key == "required") {
      param.required = reader_.flag(field);
    } else if (key == "description") {
      param.description = reader_.text(field);
    } else if (key == "secret") {
      param.secret = reader_.flag(field);
    } else if (key == "type") {
      param.type = reader_.text(field);
      if (std::find(kParamTypes.begin(), kParamTypes.end(), param.type) == kParamTypes.end())
        reader_.problem(field, "must be string, number, integer or boolean");
    } else if (key == "enum") {
      for (const Field& choice : reader_.one_or_many(field))
        param.choices.push_back(reader_.scalar_text(choice));
      if (param.choices.empty() || param.choices.size() > kMostChoices)
        reader_.problem(field, fmt::format("must list 1 to {} values", kMostChoices));
    } else {
      const auto near = nearest(key, kParamFields);
      reader_.problem(field, fmt::format("{} is not a field of a param{}", printable(key),
                                         near ? fmt::format("; did you mean {}?", *near) : ""));
    }
  }

  void check_name(std::string_view name, const Field& field) {
    if (const auto fault = environment_name_fault(name, NameUse::param)) {
      reader_.problem(field, *fault);
    }
  }

  void add(Param param, const Field& field) {
    const bool known = std::any_of(params_.begin(), params_.end(),
                                   [&](const Param& other) { return other.name == param.name; });
    if (known) reader_.problem(field, fmt::format("{} is given twice", printable(param.name)));
    params_.push_back(std::move(param));
  }

  Reader& reader_;
  std::vector<Param> params_;
};

bool reads_as_number_or_bool(const std::string& text) {
  const auto value = parse_json(text);
  return value && (value->is_number() || value->is_bool());
}

// As a client writes it.
json::value typed(const Param& param, const std::string& text) {
  if (param.type.empty() || param.type == "string") return json::value(text);
  auto value = parse_json(text);
  return value ? *value : json::value(text);
}

json::object param_schema(const Param& param) {
  json::object schema;
  if (!param.type.empty()) {
    schema["type"] = param.type;
  } else if (param.default_value && reads_as_number_or_bool(*param.default_value)) {
    schema["type"] = json::array{"string", "number", "boolean"};
  } else {
    schema["type"] = "string";
  }
  if (!param.description.empty()) schema["description"] = param.description;
  if (param.secret) schema["writeOnly"] = true;
  if (!param.choices.empty()) {
    json::array choices;
    for (const auto& choice : param.choices) choices.push_back(typed(param, choice));
    schema["enum"] = std::move(choices);
  }
  if (param.default_value && !param.secret) schema["default"] = typed(param, *param.default_value);
  return schema;
}

bool is_missing(const Param& param, const json::object& given) {
  return param.required && !param.default_value && !given.contains(param.name);
}

Result<void> check_known(const Definition& definition, const json::object& given) {
  std::vector<std::string> known, unknown;
  for (const Param& param : definition.params) known.push_back(param.name);
  for (const auto& member : given) {
    if (std::find(known.begin(), known.end(), member.key()) == known.end()) {
      unknown.push_back(printable(member.key()));
    }
  }
  constexpr std::size_t shown = 10;
  if (unknown.size() > shown) {
    unknown.resize(shown);
    unknown.push_back("…");
  }
  if (!unknown.empty()) {
    const std::string takes = known.empty() ? "The workflow takes no params"
                                            : fmt::format("Known: {}", fmt::join(known, ", "));
    return fail(Code::invalid,
                fmt::format("Unknown params: {}. {}.", fmt::join(unknown, ", "), takes));
  }
  return {};
}

Result<void> check_names(const Definition& definition, const json::object& given) {
  TRY_VOID(check_known(definition, given));
  std::vector<std::string> missing;
  for (const Param& param : definition.params) {
    if (is_missing(param, given)) missing.push_back(param.name);
  }
  if (missing.empty()) return {};
  return fail(Code::invalid, fmt::format("Missing params: {}.", fmt::join(missing, ", ")));
}

Result<std::string> given_text(const Param& param, const json::value& value) {
  std::string text = value.is_string() ? std::string(view(value.get_string())) : to_json(value);
  if (text.find('\0') != std::string::npos) {
    return fail(Code::invalid, fmt::format("Param {} holds a NUL character.", param.name));
  }
  const std::size_t limit = Limits{}.value_bytes - 1024;  // leaves room for the name
  if (text.size() > limit) {
    return fail(Code::too_large,
                fmt::format("Param {} is longer than {} bytes.", param.name, limit));
  }
  if (const auto fault = value_fault(param, text))
    return fail(Code::invalid, fmt::format("Param {} {}.", param.name, *fault));
  return text;
}

}  // namespace

std::vector<Param> read_params(Reader& reader, const Field& field) {
  return ParamReader(reader).read(field);
}

json::object params_schema(const Definition& definition) {
  json::object properties;
  json::array required;
  for (const Param& param : definition.params) {
    properties[param.name] = param_schema(param);
    if (param.required && !param.default_value) required.emplace_back(param.name);
  }
  json::object schema;
  schema["type"] = "object";
  schema["properties"] = std::move(properties);
  if (!required.empty()) schema["required"] = std::move(required);
  schema["additionalProperties"] = false;
  return schema;
}

Result<Pairs> bind_params(const Definition& definition, const json::object& given) {
  TRY_VOID(check_names(definition, given));
  Pairs bound;
  for (const Param& param : definition.params) {
    if (const json::value* value = find(given, param.name)) {
      bound.emplace_back(param.name, TRY(given_text(param, *value)));
    } else if (param.default_value) {
      bound.emplace_back(param.name, *param.default_value);
    }
  }
  return bound;
}

Result<std::vector<Param>> missing_params(const Definition& definition, const json::object& given) {
  TRY_VOID(check_known(definition, given));
  std::vector<Param> missing;
  for (const Param& param : definition.params) {
    if (const json::value* value = find(given, param.name)) {
      TRY(given_text(param, *value));
    } else if (is_missing(param, given)) {
      missing.push_back(param);
    }
  }
  return missing;
}

// A form knows choices of texts only; bind_params() reads the text of a number as well.
json::object form_schema(const std::vector<Param>& params) {
  json::object properties;
  json::array required;
  for (const Param& param : params) {
    ASSERT(!param.secret, "secrets do not go through the client");
    json::object field{
        {"type", param.type.empty() || !param.choices.empty() ? "string" : param.type}};
    if (!param.description.empty()) field["description"] = param.description;
    if (!param.choices.empty())
      field["enum"] = json::array(param.choices.begin(), param.choices.end());
    properties[param.name] = std::move(field);
    required.emplace_back(param.name);
  }
  return {
      {"type", "object"}, {"properties", std::move(properties)}, {"required", std::move(required)}};
}

}  // namespace kubiya::workflow
