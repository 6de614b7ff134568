// Folders of documents that other systems prepared:
//   X.lazy        webtext as DeepSpeedExamples' lazy loader keeps it: `data`, all documents end to end, and
//                 `data.len.pkl`, a pickled list of their lengths in bytes
//   meta.bin      CPM-Live's sets: JSON lines that name data files and their blocks; a block is records of 0x1F, a u32
//                 length and as many bytes, then zeros. A record is a JSON object, a JSON string, or plain text.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/byte_stream.h"
#include "data/text_reader.h"

namespace trireme {

bool is_lazy_folder(const std::string& path);
bool is_block_folder(const std::string& path);

std::vector<std::string> lazy_folder_files(const std::string& path);
/// meta.bin, then the data files that are not masked. IoError where meta.bin is malformed.
std::vector<std::string> block_folder_files(const std::string& path);

/// IoError naming file and byte where lengths and data do not fit together.
std::unique_ptr<DocumentReader> open_lazy_folder(const std::string& path);
/// `column`: key of the text in JSON objects. Records that are pickled are refused with an IoError.
std::unique_ptr<DocumentReader> open_block_folder(const std::string& path, const std::string& column);

/// The same from streams in memory, for tests.
std::unique_ptr<DocumentReader> read_lazy(std::unique_ptr<ByteStream> data, uint64_t data_bytes,
                                          std::unique_ptr<ByteStream> lengths);
std::unique_ptr<DocumentReader> read_blocks(std::unique_ptr<ByteStream> data, uint64_t block_bytes,
                                            const std::string& column);

}  // namespace trireme
