// The subcommands of `trireme`: one table, one function each, one file each (cmd_*.cpp).
#pragma once

#include <string>
#include <vector>

#include "app/cli.h"

namespace trireme {

/// What a process ends with.
enum ExitCode { kDone = 0, kFailed = 1, kUserError = 2, kStopped = 3 };

/// Each declares its words, parses, works, and returns an ExitCode.
int cmd_train(CommandLine& line);
int cmd_launch(CommandLine& line);
int cmd_generate(CommandLine& line);
int cmd_eval(CommandLine& line);
int cmd_prepare(CommandLine& line);
int cmd_tokenizer_train(CommandLine& line);
int cmd_tokenizer_encode(CommandLine& line);
int cmd_tokenizer_decode(CommandLine& line);
int cmd_tokenizer_chat(CommandLine& line);
int cmd_data_samples(CommandLine& line);
int cmd_data_info(CommandLine& line);
int cmd_data_merge(CommandLine& line);
int cmd_verify(CommandLine& line);
int cmd_parity(CommandLine& line);
int cmd_docs_keys(CommandLine& line);

/// The value of a --threads option, 0 (one for each available core) to 1024; ConfigError for any other.
int checked_threads(int64_t threads);

/// Runs `trireme WORDS...`; without words, or with --help, prints the list of commands. ConfigError for an unknown one.
int run_command(std::vector<std::string> words);

/// run_command, with every exception turned into one message on stderr and its exit code.
int run_main(std::vector<std::string> words) noexcept;

}  // namespace trireme
