// What was found by trying on one machine, kept between processes: a small JSON file of keys and values with their
// hash. It belongs to one owner (GPU and library): another owner's is written over, and a damaged one is begun anew.
#pragma once

#include <map>
#include <string>

namespace trireme {

class TuningFile {
 public:
  /// Reads `path`, where there is such a file; where `path` is empty nothing is kept. What cannot be read or is damaged
  /// is one line in the log.
  TuningFile(std::string path, std::string owner);

  /// nullptr where nothing is known of `key`.
  const std::string* find(const std::string& key) const;
  /// Keeps the value, here and in the file, which is replaced as a whole. Where it cannot be written that is one line
  /// in the log, and nothing is kept from then on.
  void set(const std::string& key, const std::string& value);
  size_t size() const { return entries_.size(); }

 private:
  void read();
  std::string path_, owner_;
  std::map<std::string, std::string> entries_;
};

}  // namespace trireme
