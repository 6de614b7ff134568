#include "support/file_systems.h"

#include <algorithm>
#include <filesystem>
#include <fstream>

#include "base/error.h"

namespace trireme::testing {

void ForwardingFileSystem::before(const std::string&, const std::string&) {}

int ForwardingFileSystem::create(const std::string& path) {
  before("create", path);
  return real_file_system().create(path);
}
int ForwardingFileSystem::open_partial(const std::string& path) {
  before("create", path);
  return real_file_system().open_partial(path);
}
void ForwardingFileSystem::truncate(int fd, uint64_t size, const std::string& path) {
  before("truncate", path);
  real_file_system().truncate(fd, size, path);
}
void ForwardingFileSystem::write(int fd, std::span<const std::byte> bytes, const std::string& path) {
  before("write", path);
  real_file_system().write(fd, bytes, path);
}
void ForwardingFileSystem::sync(int fd, const std::string& path) {
  before("fsync", path);
  real_file_system().sync(fd, path);
}
void ForwardingFileSystem::close(int fd, const std::string& path) {
  try {
    before("close", path);
  } catch (...) {  // a failing close has closed all the same
    real_file_system().close(fd, path);
    throw;
  }
  real_file_system().close(fd, path);
}
void ForwardingFileSystem::rename(const std::string& from, const std::string& to) {
  before("rename", to);
  real_file_system().rename(from, to);
}
void ForwardingFileSystem::make_directory(const std::string& path) {
  before("make folder", path);
  real_file_system().make_directory(path);
}
void ForwardingFileSystem::sync_directory(const std::string& path) {
  before("fsync folder", path);
  real_file_system().sync_directory(path);
}
void ForwardingFileSystem::remove(const std::string& path) {
  before("remove", path);
  real_file_system().remove(path);
}
void ForwardingFileSystem::require_space(const std::string& path, uint64_t bytes) {
  before("statvfs", path);
  real_file_system().require_space(path, bytes);
}

void FailingFileSystem::before(const std::string& call, const std::string& path) {
  const int64_t now = calls_++;
  if (now != fail_at_ && !(dead_ && now > fail_at_)) return;
  {
    const std::lock_guard lock(mutex_);
    if (failed_.empty()) failed_ = call;
  }
  throw IoError(cat(call, " ", path, ": ", reason_));
}

void FailingFileSystem::write(int fd, std::span<const std::byte> bytes, const std::string& path) {
  if (calls_ == fail_at_) real_file_system().write(fd, bytes.first(bytes.size() / 2), path);
  ForwardingFileSystem::write(fd, bytes, path);
}

int RecordingFileSystem::create(const std::string& path) {
  const int fd = ForwardingFileSystem::create(path);
  add({"create", path, "", "", fd});
  return fd;
}
int RecordingFileSystem::open_partial(const std::string& path) {
  const bool there = std::filesystem::exists(path);
  const int fd = ForwardingFileSystem::open_partial(path);
  add({there ? "open" : "create", path, "", "", fd});
  return fd;
}
void RecordingFileSystem::truncate(int fd, uint64_t size, const std::string& path) {
  ForwardingFileSystem::truncate(fd, size, path);
  add({"truncate", path, "", "", fd, size});
}
void RecordingFileSystem::write(int fd, std::span<const std::byte> bytes, const std::string& path) {
  ForwardingFileSystem::write(fd, bytes, path);
  add({"write", path, "", {reinterpret_cast<const char*>(bytes.data()), bytes.size()}, fd});
}
void RecordingFileSystem::sync(int fd, const std::string& path) {
  if (skip_ == "fsync") return;
  ForwardingFileSystem::sync(fd, path);
  add({"fsync", path, "", "", fd});
}
void RecordingFileSystem::close(int fd, const std::string& path) {
  add({"close", path, "", "", fd});  // before another thread can open a file under this number
  ForwardingFileSystem::close(fd, path);
}
void RecordingFileSystem::rename(const std::string& from, const std::string& to) {
  ForwardingFileSystem::rename(from, to);
  add({"rename", from, to, "", -1});
}
void RecordingFileSystem::make_directory(const std::string& path) {
  ForwardingFileSystem::make_directory(path);
  add({"make folder", path, "", "", -1});
}
void RecordingFileSystem::sync_directory(const std::string& path) {
  if (skip_ == "fsync folder") return;
  ForwardingFileSystem::sync_directory(path);
  add({"fsync folder", path, "", "", -1});
}
void RecordingFileSystem::remove(const std::string& path) {
  ForwardingFileSystem::remove(path);
  add({"remove", path, "", "", -1});
}

void RecordingFileSystem::add(Call call) {
  const std::lock_guard lock(mutex_);
  log_.push_back(std::move(call));
}

namespace {

/// A file or folder apart from its names. A folder keeps two lists of entries: as seen, and as is surely on the disk.
struct Node {
  bool folder = false;
  std::map<std::string, Node*> seen, durable;
  std::vector<std::map<std::string, Node*>> changes;  // unsynced, each all or nothing; null: the name goes
  std::string synced;                                 // a file's bytes
  std::vector<std::string> writes;                    // unsynced, in order
};

class Disk {
 public:
  explicit Disk(std::string root) : root_path_(std::move(root)) { root_ = make(true); }

  void apply(const RecordingFileSystem::Call& call) {
    if (call.name == "create") change(call.path, open_[call.fd] = make(false));
    if (call.name == "open") open_[call.fd] = find(call.path);
    if (call.name == "truncate") truncate(*open_[call.fd], call.size);
    if (call.name == "write") open_[call.fd]->writes.push_back(call.bytes);
    if (call.name == "close") open_.erase(call.fd);
    if (call.name == "remove") change(call.path, nullptr);
    if (call.name == "make folder") make_folders(call.path);
    if (call.name == "fsync") {
      Node& file = call.fd < 0 ? *find(call.path) : *open_[call.fd];
      for (const std::string& bytes : file.writes) file.synced += bytes;
      file.writes.clear();
    }
    if (call.name == "fsync folder" && within(call.path)) {
      Node& folder = *find(call.path);
      folder.durable = folder.seen;
      folder.changes.clear();
    }
    if (call.name == "rename") {  // always within one folder
      Node& folder = *find(std::filesystem::path(call.path).parent_path());
      const std::string from = std::filesystem::path(call.path).filename(),
                        to = std::filesystem::path(call.to).filename();
      folder.changes.push_back({{to, folder.seen[from]}, {from, nullptr}});
      folder.seen[to] = folder.seen[from];
      folder.seen.erase(from);
    }
  }

  void write_image(const std::string& image, std::mt19937_64& random) const { write(*root_, image, random); }

 private:
  Node* make(bool folder) {
    nodes_.push_back(std::make_unique<Node>());
    nodes_.back()->folder = folder;
    return nodes_.back().get();
  }

  bool within(const std::filesystem::path& path) const {
    return path == root_path_ || path.string().rfind(root_path_ + "/", 0) == 0;
  }

  Node* find(const std::filesystem::path& path) const {
    Node* node = root_;
    for (const auto& part : path.lexically_relative(root_path_))
      if (part != ".") node = node->seen.at(part);
    return node;
  }

  void change(const std::filesystem::path& path, Node* node) {
    Node& folder = *find(path.parent_path());
    folder.changes.push_back({{path.filename(), node}});
    if (node != nullptr)
      folder.seen[path.filename()] = node;
    else
      folder.seen.erase(path.filename());
  }

  void make_folders(const std::filesystem::path& path) {
    std::filesystem::path at = root_path_;
    for (const auto& part : path.lexically_relative(root_path_)) {
      Node& parent = *find(at);
      at /= part;
      if (parent.seen.count(part) == 0) change(at, make(true));
    }
  }

  /// Taken to reach the disk at once.
  static void truncate(Node& file, uint64_t size) {
    file.synced.resize(std::min<size_t>(file.synced.size(), size));
    uint64_t before = file.synced.size();
    for (std::string& bytes : file.writes) {
      bytes.resize(std::min<size_t>(bytes.size(), size - before));
      before += bytes.size();
    }
  }

  static void write(const Node& folder, const std::string& path, std::mt19937_64& random) {
    std::filesystem::create_directories(path);
    std::map<std::string, Node*> entries = folder.durable;
    for (const auto& change : folder.changes) {
      if (random() % 2 == 0) continue;
      for (const auto& [name, node] : change) entries[name] = node;
    }
    for (const auto& [name, node] : entries) {
      if (node == nullptr) continue;
      if (node->folder)
        write(*node, path + "/" + name, random);
      else
        std::ofstream(path + "/" + name, std::ios::binary) << content(*node, random);
    }
  }

  static std::string content(const Node& file, std::mt19937_64& random) {
    std::string bytes = file.synced;
    for (const std::string& write : file.writes) {
      switch (random() % 5) {
        case 0: bytes += write; break;
        case 1: return bytes;  // neither this nor what follows reached the disk
        case 2: bytes += std::string(write.size(), '\0'); break;
        case 3:  // the size did, and the blocks hold what some other file left there
          for (size_t i = 0; i < write.size(); ++i) bytes += static_cast<char>(random());
          break;
        default: {  // the first sectors only; the size may already count the rest
          const size_t kept = std::min(write.size(), random() % (write.size() / 512 + 1) * 512);
          bytes += write.substr(0, kept) + std::string(random() % 2 ? write.size() - kept : 0, '\0');
        }
      }
    }
    return bytes;
  }

  std::string root_path_;
  std::vector<std::unique_ptr<Node>> nodes_;
  Node* root_;
  std::map<int, Node*> open_;
};

}  // namespace

void crash_image(const std::vector<RecordingFileSystem::Call>& log, const std::string& root, size_t num_calls,
                 const std::string& image, std::mt19937_64& random) {
  Disk disk(root);
  for (size_t i = 0; i < num_calls; ++i) disk.apply(log[i]);
  std::filesystem::remove_all(image);
  disk.write_image(image, random);
}

void RecordingFileSystem::crash_image(const std::string& root, size_t num_calls, const std::string& image,
                                      std::mt19937_64& random) const {
  testing::crash_image(log_, root, num_calls, image, random);
}

}  // namespace trireme::testing
