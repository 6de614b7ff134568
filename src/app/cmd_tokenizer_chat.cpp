// trireme tokenizer chat: conversations as the text, or the ids, that a chat model reads.
#include <ctime>
#include <optional>

#include "app/commands.h"
#include "app/standard_io.h"
#include "base/error.h"
#include "base/strings.h"
#include "chat/chat_template.h"
#include "tokenizer/tokenizer.h"

namespace trireme {
namespace {

struct Conversation {
  Json messages, tools;
};

/// A list of messages, or an object with `messages` and perhaps `tools`.
Conversation conversation_of(const Json& json, const Json& tools, const std::string& where) {
  if (!json.is_object()) return {json, tools};
  const Json* messages = json.find("messages");
  if (messages == nullptr) throw ConfigError(cat(where, ": the key 'messages' is missing"));
  const Json* own = json.find("tools");
  return {*messages, own != nullptr && !own->is_null() ? *own : tools};
}

/// NAME=VALUE, where VALUE is JSON or else a text.
void set_variable(Json& variables, const std::string& setting) {
  const size_t equals = setting.find('=');
  if (equals == std::string::npos || equals == 0) {
    throw ConfigError(cat("--set ", setting, ": expected NAME=VALUE, for example enable_thinking=false"));
  }
  const std::string text = setting.substr(equals + 1);
  Json value = text;
  try {
    value = Json::parse(text, "--set");
  } catch (const IoError&) {}  // a text
  variables[setting.substr(0, equals)] = std::move(value);
}

std::string ids_line(const Tokenizer& tokenizer, std::string_view text) {
  std::string out;
  for (const int32_t id : tokenizer.encode(text, true)) {
    if (!out.empty()) out += ' ';
    out += std::to_string(id);
  }
  return out + "\n";
}

}  // namespace

int cmd_tokenizer_chat(CommandLine& line) {
  std::string folder, file = "-", tools_file;
  std::vector<std::string> settings;
  bool ids = false, no_generation_prompt = false;
  ChatOptions options;
  line.option("--tokenizer", folder, "folder with the chat template", CommandLine::Need::required);
  line.option("--tools", tools_file, "JSON file with a list of tools that the model may call");
  line.option("--template", options.name, "name of the template, where the model has several");
  line.option("--set", settings, "NAME=VALUE: a further variable of the template; VALUE is JSON or text");
  line.flag("--no-generation-prompt", no_generation_prompt, "do not end with the beginning of an answer");
  line.flag("--ids", ids, "print token ids instead of the text");
  line.positional("MESSAGES", file,
                  "a list of {role, content} or an object with `messages` and `tools`; .jsonl: one in each line, "
                  "printed as one JSON text in each line; - for standard input",
                  CommandLine::Need::optional);
  line.example(
      "mkdir -p my-chat\n"
      "  echo '{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}' > my-chat/chat_template.jinja\n"
      "  echo '[{\"role\": \"user\", \"content\": \"Hello\"}]' > my-chat/hello.json\n"
      "  trireme tokenizer chat --tokenizer my-chat my-chat/hello.json");
  if (!line.parse()) return kDone;
  for (const std::string& setting : settings) set_variable(options.variables, setting);
  options.add_generation_prompt = !no_generation_prompt;
  options.now = std::time(nullptr);
  const Json tools = tools_file.empty() ? Json() : read_json(tools_file);
  const ChatTemplate chat = ChatTemplate::load(folder);
  std::optional<Tokenizer> tokenizer;
  if (ids) tokenizer.emplace(Tokenizer::load(folder));

  const bool many = ends_with(file, ".jsonl");
  const std::string input = read_input(file);
  int number = 0;
  for (const std::string& text : many ? split(input, '\n') : std::vector{input}) {
    ++number;
    if (many && trim(text).empty()) continue;
    const std::string where = many ? cat(file, ": line ", number) : file;
    const Conversation conversation = conversation_of(Json::parse(text, where), tools, where);
    options.tools = conversation.tools;
    std::string out;
    try {
      out = chat.apply(conversation.messages, options).text;
    } catch (const ConfigError& error) {
      throw ConfigError(cat(where, ": ", error.what()));
    }
    print(ids ? ids_line(*tokenizer, out) : many ? Json(out).dump() + "\n" : out);
  }
  return kDone;
}

}  // namespace trireme
