#include "app/commands.h"

#include <algorithm>
#include <array>
#include <cstdio>
#include <new>
#include <string_view>

#include "app/standard_io.h"
#include "app/version.h"
#include "base/error.h"
#include "base/strings.h"

namespace trireme {
namespace {

struct Command {
  std::string_view name, summary;
  int (*run)(CommandLine&);
};

constexpr std::array kCommands = {
    Command{"train", "Train a model from a recipe, or continue where it stopped.", cmd_train},
    Command{"launch", "Start a command as several processes on this machine, one a rank.", cmd_launch},
    Command{"generate", "Write text with a trained model.", cmd_generate},
    Command{"eval", "Loss, perplexity and bits per byte on token files.", cmd_eval},
    Command{"verify", "Check every byte of a checkpoint and print its step and state hash.", cmd_verify},
    Command{"parity", "Train some steps on every layout and compare with one rank in float32.", cmd_parity},
    Command{"prepare", "Turn text into token files.", cmd_prepare},
    Command{"data samples", "Show the samples that training will see.", cmd_data_samples},
    Command{"data info", "Say what token files hold.", cmd_data_info},
    Command{"data merge", "Make one set of token files of several.", cmd_data_merge},
    Command{"tokenizer train", "Learn a byte-level BPE vocabulary from text.", cmd_tokenizer_train},
    Command{"tokenizer encode", "Turn a file into token ids.", cmd_tokenizer_encode},
    Command{"tokenizer decode", "Turn token ids back into the bytes they stand for.", cmd_tokenizer_decode},
    Command{"tokenizer chat", "Turn a conversation into the text or ids a chat model reads.", cmd_tokenizer_chat},
    Command{"docs keys", "Print every recipe key with its values, default and meaning.", cmd_docs_keys},
};

/// The commands whose name begins with `group` and a space; all for an empty group.
std::string list_of(std::string_view group) {
  std::string out;
  for (const Command& command : kCommands) {
    if (!group.empty() && !starts_with(command.name, cat(group, " "))) continue;
    out += cat("  ", command.name, std::string(20 - command.name.size(), ' '), command.summary, "\n");
  }
  return out;
}

std::string help() {
  return cat("trireme ", kVersion,
             ": trains and runs GPT and Llama models.\n\nUsage: trireme COMMAND [WORDS], trireme COMMAND --help, "
             "trireme --version\n\nCommands:\n",
             list_of(""), "\nExample:\n  trireme train recipes/poetry-tiny.yaml\n");
}

const Command* find_command(std::string_view name) {
  const auto found = std::find_if(kCommands.begin(), kCommands.end(), [&](const Command& c) { return c.name == name; });
  return found == kCommands.end() ? nullptr : found;
}

[[noreturn]] void refuse_unknown(const std::string& name) {
  std::vector<std::string_view> names;
  for (const Command& command : kCommands) names.push_back(command.name);
  throw ConfigError(cat("unknown command '", name, "'", did_you_mean(name, names), " See `trireme --help`."));
}

bool asks_for_help(const std::string& word) { return word == "--help" || word == "-h" || word == "help"; }

int report(const std::string& text, ExitCode code) noexcept {
  std::fprintf(stderr, "trireme: %s\n", text.c_str());
  return code;
}

}  // namespace

int checked_threads(int64_t threads) {
  if (threads < 0 || threads > 1024) throw ConfigError(cat("--threads is ", threads, ", expected 0 to 1024"));
  return static_cast<int>(threads);
}

int run_command(std::vector<std::string> words) {
  if (words.empty() || asks_for_help(words[0])) {
    print(help());
    return kDone;
  }
  if (words[0] == "--version") {
    print(cat("trireme ", kVersion, "\n"));
    return kDone;
  }
  std::string name = words[0];
  size_t used = 1;
  if (find_command(name) == nullptr && !list_of(name).empty()) {
    if (words.size() == 1) throw ConfigError(cat("'", name, "' needs one more word:\n", list_of(name)));
    if (asks_for_help(words[1])) {
      print(list_of(name));
      return kDone;
    }
    name += " " + words[1];
    used = 2;
  }
  const Command* command = find_command(name);
  if (command == nullptr) refuse_unknown(name);
  words.erase(words.begin(), words.begin() + static_cast<std::ptrdiff_t>(used));
  CommandLine line(command->name, command->summary, std::move(words));
  return command->run(line);
}

int run_main(std::vector<std::string> words) noexcept {
  try {
    return run_command(std::move(words));
  } catch (const ConfigError& error) {
    return report(error.what(), kUserError);
  } catch (const std::bad_alloc&) {
    return report("out of memory", kFailed);
  } catch (const std::exception& error) {
    return report(error.what(), kFailed);
  }
}

}  // namespace trireme
