#include "chat/template.h"

#include <algorithm>

#include "base/error.h"
#include "base/strings.h"
#include "chat/ast.h"
#include "chat/machine.h"
#include "chat/parser.h"
#include "chat/run.h"

namespace trireme {
namespace {

using jinja::Run;
using jinja::Value;

[[noreturn]] void rethrow(const std::string& where, const jinja::TemplateError& error) {
  throw ConfigError(cat(where, ": line ", error.line, ": ", error.text));
}

/// The text itself where it is UTF-8: values then point into the Json tree.
std::string_view clean_text(Run& run, const std::string& text) {
  return find_invalid_utf8(text) == std::string::npos ? text : run.keep(replace_invalid_utf8(text));
}

Value to_value(Run& run, const Json& json) {
  switch (json.kind()) {
    case Json::Kind::null: return Value::none();
    case Json::Kind::boolean: return json.as_bool();
    case Json::Kind::integer: return json.as_integer();
    case Json::Kind::real: return json.as_real();
    case Json::Kind::string: return clean_text(run, json.as_string());
    default: break;
  }
  const jinja::Nested nested(run);
  const auto size = static_cast<int64_t>(json.size());
  if (json.is_array()) {
    jinja::Sequence list;
    Value* data = run.array<Value>(size);
    for (int64_t i = 0; i < size; ++i) data[i] = to_value(run, json.items()[static_cast<size_t>(i)]);
    list.data = data;
    list.size = size;
    return Value(jinja::Kind::list, run.make(list));
  }
  jinja::Entry* data = run.array<jinja::Entry>(size);
  for (int64_t i = 0; i < size; ++i) {
    const auto& [key, value] = json.members()[static_cast<size_t>(i)];
    data[i] = {clean_text(run, key), to_value(run, value)};
  }
  return run.make(jinja::Dict{data, size});
}

}  // namespace

Template::Template(std::string_view source, std::string where)
    : tree_(std::make_unique<jinja::Tree>()), where_(std::move(where)) {
  try {
    if (static_cast<int64_t>(source.size()) > jinja::kMaxTemplateBytes) {
      throw ConfigError(cat(where_, ": a template of more than ", jinja::kMaxTemplateBytes, " bytes"));
    }
    if (const size_t bad = find_invalid_utf8(source); bad != std::string_view::npos) {
      throw ConfigError(cat(where_, ": byte ", bad, " of the template is not UTF-8"));
    }
    jinja::parse_template(source, *tree_);
  } catch (const jinja::TemplateError& error) {
    rethrow(where_, error);
  }
}

Template::~Template() = default;
Template::Template(Template&&) noexcept = default;
Template& Template::operator=(Template&&) noexcept = default;

RenderedText Template::render(const Json& variables, int64_t now, const jinja::Limits& limits) const {
  Run run(limits);
  run.now = now;
  try {
    jinja::Machine machine(*tree_, run);
    for (const auto& [name, value] : variables.members()) machine.set(name, to_value(run, value));
    RenderedText out;
    out.text = machine.render();
    for (const auto& [begin, end] : machine.spans()) {
      out.generated.emplace_back(std::min(begin, out.text.size()), std::min(end, out.text.size()));
    }
    return out;
  } catch (const jinja::TemplateError& error) {
    rethrow(where_, error);
  }
}

}  // namespace trireme
