// The methods of str.
#include <algorithm>

#include "base/error.h"
#include "chat/call.h"
#include "chat/format.h"
#include "chat/operations.h"
#include "chat/text.h"

namespace trireme::jinja {
namespace {

constexpr size_t kNone = std::string_view::npos;

/// text[start:end] by the arguments i and i + 1; `offset` is the number of characters before it, negative where the
/// start lies behind the end of the text.
std::string_view window(Run& run, std::string_view text, const Call& call, size_t i, int64_t& offset) {
  offset = 0;
  run.work(static_cast<int64_t>(text.size()) / 16);
  if (!has_arg(call, i) && !has_arg(call, i + 1)) return text;
  const int64_t size = text_length(text);
  const auto bound = [&](size_t k, int64_t fallback) {
    const int64_t at = has_arg(call, k) ? int_arg(run, call, k) : fallback;
    return at < 0 ? std::max<int64_t>(at + size, 0) : at;
  };
  const int64_t begin = bound(i, 0), end = std::min(bound(i + 1, size), size);
  offset = begin > end ? -1 : begin;
  if (begin >= end) return {};
  const size_t from = text_offset(text, begin);
  return text.substr(from, text_offset(text.substr(from), end - begin));
}

Value strip_side(Run& run, const Value& self, const Call& call, Side side) {
  const std::string_view set = has_arg(call, 0) ? text_arg(run, call, 0) : "";
  run.work(static_cast<int64_t>(self.text.size()) / 16);
  return strip(self.text, has_arg(call, 0) ? &set : nullptr, side);
}
Value strip_both(Run& run, const Value& self, const Call& call) { return strip_side(run, self, call, Side::both); }
Value lstrip(Run& run, const Value& self, const Call& call) { return strip_side(run, self, call, Side::left); }
Value rstrip(Run& run, const Value& self, const Call& call) { return strip_side(run, self, call, Side::right); }

void add_part(Run& run, std::vector<Value>& parts, std::string_view part) {
  run.work();
  run.room(static_cast<int64_t>(parts.size() * 2 * sizeof(Value)));
  parts.push_back(part);
}

/// Splits at white space, at most `most` times; -1: at all.
void split_spaces(Run& run, std::vector<Value>& parts, std::string_view text, int64_t most) {
  while (true) {
    text = strip(text, nullptr, Side::left);
    if (text.empty()) return;
    if (most-- == 0) return add_part(run, parts, text);
    CodePoints at(text);
    size_t end = text.size();
    while (at.next()) {
      if (!is_space(at.point())) continue;
      end = at.begin();
      break;
    }
    add_part(run, parts, text.substr(0, end));
    text.remove_prefix(end);
  }
}

/// From the right; the parts come in reverse.
void rsplit_spaces(Run& run, std::vector<Value>& parts, std::string_view text, int64_t most) {
  while (true) {
    text = strip(text, nullptr, Side::right);
    if (text.empty()) return;
    if (most-- == 0) return add_part(run, parts, text);
    size_t begin = 0;
    for (size_t i = text.size(); i > 0;) {
      const size_t end = i--;
      while (i > 0 && (static_cast<uint8_t>(text[i]) & 0xC0) == 0x80) --i;
      CodePoints at(text.substr(i, end - i));
      at.next();
      if (!is_space(at.point())) continue;
      begin = end;
      break;
    }
    add_part(run, parts, text.substr(begin));
    text = text.substr(0, begin);
  }
}

void split_at(Run& run, std::vector<Value>& parts, std::string_view text, std::string_view separator, int64_t most) {
  for (size_t end; most != 0 && (end = text.find(separator)) != kNone; --most) {
    add_part(run, parts, text.substr(0, end));
    text.remove_prefix(end + separator.size());
  }
  add_part(run, parts, text);
}

void rsplit_at(Run& run, std::vector<Value>& parts, std::string_view text, std::string_view separator, int64_t most) {
  for (size_t begin; most != 0 && (begin = text.rfind(separator)) != kNone; --most) {
    add_part(run, parts, text.substr(begin + separator.size()));
    text = text.substr(0, begin);
  }
  add_part(run, parts, text);
}

Value split_from(Run& run, const Value& self, const Call& call, bool right) {
  run.work(static_cast<int64_t>(self.text.size()) / 16);
  const int64_t most = int_arg(run, call, 1, -1);
  std::vector<Value> parts;
  if (!has_arg(call, 0)) {
    (right ? rsplit_spaces : split_spaces)(run, parts, self.text, most);
  } else {
    const std::string_view separator = text_arg(run, call, 0);
    if (separator.empty()) run.fail("empty separator");
    (right ? rsplit_at : split_at)(run, parts, self.text, separator, most);
  }
  if (right) std::reverse(parts.begin(), parts.end());
  return run.list(parts);
}
Value split(Run& run, const Value& self, const Call& call) { return split_from(run, self, call, false); }
Value rsplit(Run& run, const Value& self, const Call& call) { return split_from(run, self, call, true); }

Value splitlines(Run& run, const Value& self, const Call& call) {
  std::vector<Value> parts;
  for (const std::string_view line : split_lines(run, self.text, flag_arg(call, 0))) parts.push_back(line);
  return run.list(parts);
}

Value partition_at(Run& run, const Value& self, const Call& call, bool right) {
  const std::string_view separator = text_arg(run, call, 0), text = self.text;
  if (separator.empty()) run.fail("empty separator");
  run.work(static_cast<int64_t>(text.size()) / 16);
  const size_t at = right ? text.rfind(separator) : text.find(separator);
  const std::string_view none;
  if (at == kNone) return run.tuple({{right ? none : text, none, right ? text : none}});
  return run.tuple({{text.substr(0, at), separator, text.substr(at + separator.size())}});
}
Value partition(Run& run, const Value& self, const Call& call) { return partition_at(run, self, call, false); }
Value rpartition(Run& run, const Value& self, const Call& call) { return partition_at(run, self, call, true); }

/// Whether `text` begins or ends with the argument, or with one of a tuple.
Value has_affix(Run& run, const Value& self, const Call& call, bool at_end) {
  int64_t offset = 0;
  const std::string_view text = window(run, self.text, call, 1, offset);
  const auto fits = [&](const Value& v) {
    if (!v.is(Kind::string)) {
      require_defined(run, v);
      run.fail(cat(at_end ? "endswith" : "startswith", " needs str or a tuple of str, not ", type_name(v)));
    }
    if (offset < 0 || v.text.size() > text.size()) return false;
    return text.substr(at_end ? text.size() - v.text.size() : 0, v.text.size()) == v.text;
  };
  if (!call[0]->is(Kind::tuple)) return fits(*call[0]);
  const auto all = elements(run, *call[0]);
  return std::any_of(all.begin(), all.end(), fits);
}
Value startswith(Run& run, const Value& self, const Call& call) { return has_affix(run, self, call, false); }
Value endswith(Run& run, const Value& self, const Call& call) { return has_affix(run, self, call, true); }

Value removeprefix(Run& run, const Value& self, const Call& call) {
  const std::string_view prefix = text_arg(run, call, 0);
  return self.text.substr(0, prefix.size()) == prefix ? self.text.substr(prefix.size()) : self.text;
}

Value removesuffix(Run& run, const Value& self, const Call& call) {
  const std::string_view suffix = text_arg(run, call, 0), text = self.text;
  if (suffix.size() > text.size() || text.substr(text.size() - suffix.size()) != suffix) return text;
  return text.substr(0, text.size() - suffix.size());
}

Value replace(Run& run, const Value& self, const Call& call) {
  const std::string_view from = text_arg(run, call, 0), to = text_arg(run, call, 1);
  int64_t most = int_arg(run, call, 2, -1);
  std::string_view text = self.text;
  Text out(run);
  if (from.empty()) {  // before each character, and at the end
    for (CodePoints at(text); most != 0 && at.next(); --most) {
      out << to << at.bytes();
      text = self.text.substr(at.end());
    }
    if (most != 0) out << to;
    out << text;
    return out.value();
  }
  for (size_t at; most != 0 && (at = text.find(from)) != kNone; --most) {
    run.work();
    out << text.substr(0, at) << to;
    text.remove_prefix(at + from.size());
  }
  out << text;
  return out.value();
}

/// Position of the first or last occurrence, or -1.
int64_t position(Run& run, const Value& self, const Call& call, bool right) {
  int64_t offset = 0;
  const std::string_view text = window(run, self.text, call, 1, offset), wanted = text_arg(run, call, 0);
  if (offset < 0) return -1;
  const size_t at = right ? text.rfind(wanted) : text.find(wanted);
  return at == kNone ? -1 : offset + text_length(text.substr(0, at));
}
Value find(Run& run, const Value& self, const Call& call) { return position(run, self, call, false); }
Value rfind(Run& run, const Value& self, const Call& call) { return position(run, self, call, true); }
Value index_of(Run& run, const Value& self, const Call& call, bool right) {
  const int64_t at = position(run, self, call, right);
  if (at < 0) run.fail("substring not found");
  return at;
}
Value index(Run& run, const Value& self, const Call& call) { return index_of(run, self, call, false); }
Value rindex(Run& run, const Value& self, const Call& call) { return index_of(run, self, call, true); }

Value count(Run& run, const Value& self, const Call& call) {
  int64_t offset = 0, found = 0;
  std::string_view text = window(run, self.text, call, 1, offset);
  const std::string_view wanted = text_arg(run, call, 0);
  if (offset < 0) return int64_t{0};
  if (wanted.empty()) return text_length(text) + 1;
  for (size_t at; (at = text.find(wanted)) != kNone; ++found) text.remove_prefix(at + wanted.size());
  return found;
}

Value join(Run& run, const Value& self, const Call& call) {
  Text out(run);
  bool more = false;
  for (const Value& item : elements(run, *call[0])) {
    if (!item.is(Kind::string)) run.fail(cat("join needs a list of str, found ", type_name(item)));
    if (more) out << self.text;
    out << item.text;
    more = true;
  }
  return out.value();
}

Value pad(Run& run, const Value& self, const Call& call, Side text_side) {
  const int64_t width = int_arg(run, call, 0), missing = width - text_length(self.text);
  const std::string_view fill = text_arg(run, call, 1, " ");
  if (text_length(fill) != 1) run.fail("the fill character must be exactly one character long");
  if (missing <= 0) return self;
  const int64_t left = text_side == Side::left    ? 0
                       : text_side == Side::right ? missing
                                                  : missing / 2 + (missing & width & 1);
  Text out(run);
  for (int64_t i = 0; i < left; ++i) out << fill;
  out << self.text;
  for (int64_t i = left; i < missing; ++i) out << fill;
  return out.value();
}
Value center(Run& run, const Value& self, const Call& call) { return pad(run, self, call, Side::both); }
Value ljust(Run& run, const Value& self, const Call& call) { return pad(run, self, call, Side::left); }
Value rjust(Run& run, const Value& self, const Call& call) { return pad(run, self, call, Side::right); }

Value zfill(Run& run, const Value& self, const Call& call) {
  const int64_t missing = int_arg(run, call, 0) - text_length(self.text);
  if (missing <= 0) return self;
  const bool sign = !self.text.empty() && (self.text[0] == '-' || self.text[0] == '+');
  Text out(run);
  out << self.text.substr(0, sign ? 1 : 0);
  out.fill(missing, '0') << self.text.substr(sign ? 1 : 0);
  return out.value();
}

/// The filter of the same name does the same with any value.
template <char kFirst>
Value by_filter(Run& run, const Value& self, const Call& call) {
  return find_filter(kFirst == 'u' ? "upper" : kFirst == 'l' ? "lower" : "capitalize")->run(run, self, call);
}

Value title(Run& run, const Value& self, const Call&) {
  Text out(run);
  bool inside = false;
  for (CodePoints at(self.text); at.next();) {
    if (inside)
      append_lower(out, at.bytes());
    else
      append_title_case(out, at.bytes());
    inside = is_cased(at.point());
  }
  return out.value();
}

Value swapcase(Run& run, const Value& self, const Call&) {
  Text out(run);
  for (CodePoints at(self.text); at.next();) {
    if (is_upper(at.point()))
      append_lower(out, at.bytes());
    else
      append_upper(out, at.bytes());
  }
  return out.value();
}

template <bool (*kWanted)(uint32_t)>
Value all_are(Run& run, const Value& self, const Call&) {
  run.work(static_cast<int64_t>(self.text.size()) / 16);
  for (CodePoints at(self.text); at.next();) {
    if (!kWanted(at.point())) return false;
  }
  return !self.text.empty();
}

bool is_alnum(uint32_t c) { return is_alpha(c) || is_numeric(c); }

Value isascii(Run&, const Value& self, const Call&) {
  return std::all_of(self.text.begin(), self.text.end(), [](char c) { return static_cast<uint8_t>(c) < 0x80; });
}

Value isprintable(Run& run, const Value& self, const Call& call) {
  return self.text.empty() || truth(all_are<is_printable>(run, self, call));
}

/// Cased, and each cased character as wanted.
template <bool (*kWanted)(uint32_t)>
Value cased(Run&, const Value& self, const Call&) {
  bool any = false;
  for (CodePoints at(self.text); at.next();) {
    if (!is_cased(at.point())) continue;
    if (!kWanted(at.point())) return false;
    any = true;
  }
  return any;
}

Value istitle(Run&, const Value& self, const Call&) {
  bool any = false, inside = false;
  for (CodePoints at(self.text); at.next();) {
    const bool upper = is_upper(at.point()) || is_title(at.point());
    if (upper ? inside : is_lower(at.point()) && !inside) return false;
    inside = is_cased(at.point());
    any = any || inside;
  }
  return any;
}

Value format(Run& run, const Value& self, const Call& call) { return format_braces(run, self.text, call); }

Value format_map(Run& run, const Value& self, const Call& call) {
  if (!call[0]->is(Kind::dict)) run.fail("format_map needs a dict");
  std::vector<Named> named;
  for (int64_t i = 0; i < call[0]->dict->size; ++i) {
    const Entry& entry = call[0]->dict->data[i];
    if (entry.key.is(Kind::string)) named.push_back({entry.key.text, entry.value});
  }
  return format_braces(run, self.text, {{}, named});
}

constexpr Builtin kTable[] = {
    {"strip", "chars?", strip_both},
    {"lstrip", "chars?", lstrip},
    {"rstrip", "chars?", rstrip},
    {"split", "sep? maxsplit?", split},
    {"rsplit", "sep? maxsplit?", rsplit},
    {"splitlines", "keepends?", splitlines},
    {"partition", "sep", partition},
    {"rpartition", "sep", rpartition},
    {"startswith", "prefix start? end?", startswith},
    {"endswith", "suffix start? end?", endswith},
    {"removeprefix", "prefix", removeprefix},
    {"removesuffix", "suffix", removesuffix},
    {"replace", "old new count?", replace},
    {"find", "sub start? end?", find},
    {"rfind", "sub start? end?", rfind},
    {"index", "sub start? end?", index},
    {"rindex", "sub start? end?", rindex},
    {"count", "sub start? end?", count},
    {"join", "iterable", join},
    {"center", "width fillchar?", center},
    {"ljust", "width fillchar?", ljust},
    {"rjust", "width fillchar?", rjust},
    {"zfill", "width", zfill},
    {"upper", "", by_filter<'u'>},
    {"lower", "", by_filter<'l'>},
    {"capitalize", "", by_filter<'c'>},
    {"title", "", title},
    {"swapcase", "", swapcase},
    {"isalpha", "", all_are<is_alpha>},
    {"isdigit", "", all_are<is_digit>},
    {"isdecimal", "", all_are<is_decimal>},
    {"isnumeric", "", all_are<is_numeric>},
    {"isalnum", "", all_are<is_alnum>},
    {"isspace", "", all_are<is_space>},
    {"isprintable", "", isprintable},
    {"isascii", "", isascii},
    {"isupper", "", cased<is_upper>},
    {"islower", "", cased<is_lower>},
    {"istitle", "", istitle},
    {"format", "*", format},
    {"format_map", "mapping", format_map},
    {"casefold", "", nullptr},
    {"encode", "*", nullptr},
    {"expandtabs", "*", nullptr},
    {"isidentifier", "", nullptr},
    {"maketrans", "*", nullptr},
    {"translate", "*", nullptr},
};

}  // namespace

std::span<const Builtin> text_methods() { return kTable; }

}  // namespace trireme::jinja
