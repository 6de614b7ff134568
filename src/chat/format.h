// Python's two ways to fill a text: "%s" % values and "{}".format(values).
#pragma once

#include <string_view>

#include "chat/call.h"

namespace trireme::jinja {

/// format % values, where `values` is a tuple, a dict or one value.
Value format_percent(Run& run, std::string_view format, const Value& values);
/// format.format(*call.args, **call.named).
Value format_braces(Run& run, std::string_view format, const Call& call);

}  // namespace trireme::jinja
