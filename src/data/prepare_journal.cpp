#include "data/prepare_journal.h"

#include <array>
#include <optional>
#include <span>
#include <vector>

#include "base/error.h"
#include "base/hash.h"
#include "base/strings.h"

namespace trireme {
namespace {

constexpr std::array kFields = {&PrepareMark::source,          &PrepareMark::position, &PrepareMark::documents,
                                &PrepareMark::empty_documents, &PrepareMark::tokens,   &PrepareMark::text_bytes,
                                &PrepareMark::longest_document};

std::string checksum(std::string_view text) { return hex(hash64(std::as_bytes(std::span(text)))); }

std::string line_of(const PrepareMark& mark) {
  std::string line;
  for (const auto field : kFields) line += cat(mark.*field, " ");
  return cat(line, checksum(line), "\n");
}

std::optional<PrepareMark> mark_of(const std::string& line) {
  const std::vector<std::string> words = split(line, ' ');
  if (words.size() != kFields.size() + 1) return std::nullopt;
  PrepareMark mark;
  for (size_t i = 0; i < kFields.size(); ++i)
    if (!parse_integer(words[i], mark.*kFields[i])) return std::nullopt;
  if (line_of(mark) != line + "\n") return std::nullopt;
  return mark;
}

}  // namespace

PrepareJournal::PrepareJournal(const std::string& prefix, uint64_t job, FileSystem& fs)
    : job_(cat("trireme prepare 1 ", hex(job), "\n")), file_(prefix + ".journal", fs) {}

PrepareMark PrepareJournal::begin(FunctionRef<bool(const PrepareMark&)> holds) {
  const std::string text = read_file(file_.partial_path());
  PrepareMark last;
  size_t kept = starts_with(text, job_) ? job_.size() : 0;
  for (size_t end; kept > 0 && (end = text.find('\n', kept)) != std::string::npos; kept = end + 1) {
    const std::optional<PrepareMark> mark = mark_of(text.substr(kept, end - kept));
    if (!mark || !holds(*mark)) break;
    last = *mark;
  }
  file_.keep(kept);
  if (kept == 0) file_.write(job_);
  return last;
}

void PrepareJournal::add(const PrepareMark& mark) {
  file_.write(line_of(mark));
  file_.sync();
}

}  // namespace trireme
