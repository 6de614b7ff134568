// Filters that make texts.
#include <algorithm>

#include "base/error.h"
#include "chat/call.h"
#include "chat/format.h"
#include "chat/operations.h"
#include "chat/print.h"
#include "chat/text.h"

namespace trireme::jinja {
namespace {

Value upper(Run& run, const Value& self, const Call&) {
  Text out(run);
  append_upper(out, as_text(run, self));
  return out.value();
}

Value lower(Run& run, const Value& self, const Call&) {
  Text out(run);
  append_lower(out, as_text(run, self));
  return out.value();
}

Value capitalize(Run& run, const Value& self, const Call&) {
  const std::string_view text = as_text(run, self);
  Text out(run);
  CodePoints at(text);
  if (!at.next()) return text;
  append_title_case(out, at.bytes());
  append_lower(out, text.substr(at.end()));
  return out.value();
}

/// Words as jinja2 parts them: after white space and - ( { [ <.
Value title(Run& run, const Value& self, const Call&) {
  const std::string_view text = as_text(run, self);
  const auto parts = [](uint32_t c) { return is_space(c) || c == '-' || c == '(' || c == '{' || c == '[' || c == '<'; };
  Text out(run);
  size_t begin = 0, first_end = 0;
  const auto word = [&](size_t end) {
    if (begin == end) return;
    append_upper(out, text.substr(begin, first_end - begin));
    append_lower(out, text.substr(first_end, end - first_end));
  };
  for (CodePoints at(text); at.next();) {
    if (parts(at.point())) {
      word(at.begin());
      out << at.bytes();
      begin = at.end();
    } else if (at.begin() == begin) {
      first_end = at.end();
    }
  }
  word(text.size());
  return out.value();
}

Value trim(Run& run, const Value& self, const Call& call) {
  const std::string_view set = has_arg(call, 0) ? text_arg(run, call, 0) : "";
  return strip(as_text(run, self), has_arg(call, 0) ? &set : nullptr, Side::both);
}

Value string(Run& run, const Value& self, const Call&) { return as_text(run, self); }

Value escape(Run& run, const Value& self, const Call&) {
  Text out(run);
  for (const char& c : as_text(run, self)) {
    if (c == '&')
      out << "&amp;";
    else if (c == '<')
      out << "&lt;";
    else if (c == '>')
      out << "&gt;";
    else if (c == '"')
      out << "&#34;";
    else if (c == '\'')
      out << "&#39;";
    else
      out << std::string_view(&c, 1);
  }
  return out.value();
}

Value replace(Run& run, const Value& self, const Call& call) {
  const Value parts[] = {as_text(run, *call[0]), as_text(run, *call[1]),
                         has_arg(call, 2) ? Value(int_arg(run, call, 2)) : Value(int64_t{-1})};
  const Value method = find_method(run, as_text(run, self), "replace");
  return invoke(run, *method.callable->builtin, method.callable->self, {parts});
}

Value indent(Run& run, const Value& self, const Call& call) {
  require_defined(run, self);
  if (!self.is(Kind::string)) run.fail(cat("indent needs a str, not ", type_name(self)));
  Text indention(run);
  if (call[0] != nullptr && call[0]->is(Kind::string))
    indention << call[0]->text;
  else
    indention.fill(int_arg(run, call, 0, 4), ' ');
  const bool first = flag_arg(call, 1), blank = flag_arg(call, 2);
  Text text(run), out(run);
  text << self.text << "\n";
  if (first) out << indention.view();
  bool more = false;
  for (const std::string_view line : split_lines(run, text.view(), false)) {
    if (more) out << "\n";
    if (more && (blank || !line.empty())) out << indention.view();
    out << line;
    more = true;
  }
  return out.value();
}

Value center(Run& run, const Value& self, const Call& call) {
  const Value width[] = {int_arg(run, call, 0, 80)};
  const Value method = find_method(run, as_text(run, self), "center");
  return invoke(run, *method.callable->builtin, method.callable->self, {width});
}

Value truncate(Run& run, const Value& self, const Call& call) {
  const int64_t size = int_arg(run, call, 0, 255), leeway = has_arg(call, 3) ? int_arg(run, call, 3) : 5;
  const std::string_view end = text_arg(run, call, 2, "...");
  const int64_t kept = size - text_length(end);
  if (kept < 0 || leeway < 0) run.fail("truncate: expected a length of at least that of its end, and leeway >= 0");
  const int64_t all = length(run, self);
  if (all <= size || all - size <= leeway) return self;
  if (!self.is(Kind::string)) run.fail(cat("truncate needs a str, not ", type_name(self)));
  std::string_view text = self.text.substr(0, text_offset(self.text, kept));
  if (!flag_arg(call, 1)) text = text.substr(0, std::min(text.rfind(' '), text.size()));
  Text out(run);
  out << text << end;
  return out.value();
}

Value wordcount(Run& run, const Value& self, const Call&) {
  int64_t count = 0;
  bool inside = false;
  const std::string_view text = as_text(run, self);
  run.work(static_cast<int64_t>(text.size()) / 16);
  for (CodePoints at(text); at.next();) {
    const bool word = at.point() == '_' || is_alpha(at.point()) || is_numeric(at.point());
    if (word && !inside) ++count;
    inside = word;
  }
  return count;
}

Value format(Run& run, const Value& self, const Call& call) {
  if (!call.args.empty() && !call.named.empty()) run.fail("format takes arguments by position or by name, not both");
  if (call.named.empty()) return format_percent(run, as_text(run, self), run.tuple(call.args));
  std::vector<Entry> entries;
  for (const Named& named : call.named) entries.push_back({named.name, named.value});
  return format_percent(run, as_text(run, self), make_dict(run, entries));
}

/// json.dumps with the options that chat templates may give.
Value tojson(Run& run, const Value& self, const Call& call) {
  JsonStyle style;
  style.ascii = flag_arg(call, 0);
  style.sort_keys = flag_arg(call, 3);
  Text indention(run);
  if (has_arg(call, 1)) {
    style.indented = true;
    style.comma = ",";
    if (call[1]->is(Kind::string))
      indention << call[1]->text;
    else
      indention.fill(int_arg(run, call, 1), ' ');
    style.indent = indention.view();
  }
  if (has_arg(call, 2)) {
    const std::span<const Value> separators = elements(run, *call[2]);
    if (separators.size() != 2 || !separators[0].is(Kind::string) || !separators[1].is(Kind::string)) {
      run.fail("tojson: separators are two strings");
    }
    style.comma = separators[0].text;
    style.colon = separators[1].text;
  }
  Text out(run);
  append_json(out, self, style);
  return out.value();
}

constexpr Builtin kTable[] = {
    {"trim", "chars?", trim},
    {"tojson", "ensure_ascii? indent? separators? sort_keys?", tojson},
    {"upper", "", upper},
    {"lower", "", lower},
    {"capitalize", "", capitalize},
    {"title", "", title},
    {"string", "", string},
    {"safe", "", string},
    {"escape", "", escape},
    {"e", "", escape},
    {"forceescape", "", escape},
    {"replace", "old new count?", replace},
    {"indent", "width? first? blank?", indent},
    {"center", "width?", center},
    {"truncate", "length? killwords? end? leeway?", truncate},
    {"wordcount", "", wordcount},
    {"format", "*", format},
    {"pprint", "", nullptr},
    {"striptags", "", nullptr},
    {"urlencode", "", nullptr},
    {"urlize", "", nullptr},
    {"wordwrap", "", nullptr},
    {"xmlattr", "", nullptr},
};

}  // namespace

std::span<const Builtin> text_filters() { return kTable; }

}  // namespace trireme::jinja
