// The kinds of tokenizer that are not the pipeline of tokenizer.json: how Tokenizer, Encoder and StreamDecoder see
// them. Vocabulary, special tokens and roles are a TokenizerSpec for every kind.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace trireme {

/// A part of a text between special tokens.
struct Stretch {
  std::string_view text;
  bool split = false;           // whether special tokens are looked for at all; the next two are false where not
  bool after_special = false;   // otherwise the text begins here
  bool before_special = false;  // otherwise the text ends here
};

/// Encodes on one thread.
class TextEncoder {
 public:
  virtual ~TextEncoder() = default;
  /// Appends the ids of the stretch, which need not be UTF-8.
  virtual void encode(std::vector<int32_t>& out, const Stretch& stretch) = 0;
};

/// What a step of a DecodeChain keeps from id to id.
struct DecodeStepState {
  std::string held;    // text that waits for more; of a ctc the token before
  bool begun = false;  // a token came by
  int64_t count = 0;   // characters cut off the begin
  int64_t kept = 0;    // characters that are cut off if the text ends here
  size_t matched = 0;  // bytes of the text to find that wait for its others
  size_t made = 0;     // bytes put out
};

/// What the decoding of an id depends on, but for the id: new for every text.
struct DecodeState {
  bool first = true;                   // no id yet
  bool begun = false;                  // some text has been put out
  bool dropped_space = false;          // the dummy space was there and left out
  std::string bytes;                   // of a character that is not complete
  std::vector<DecodeStepState> steps;  // of a DecodeChain
  size_t bytes_in = 0;                 // that went into it
};

/// Never changes; threads share it.
class TextModel {
 public:
  virtual ~TextModel() = default;
  virtual std::unique_ptr<TextEncoder> encoder() const = 0;
  /// Whether the encoder finds special tokens itself, in whole texts whose Stretch has `split`.
  virtual bool finds_special() const { return false; }
  /// Appends the text that `id`, which is inside the vocabulary, completes.
  virtual void decode(std::string& out, int32_t id, DecodeState& state) const = 0;
  /// Appends what is left at the end of the ids.
  virtual void finish(std::string& out, DecodeState& state) const = 0;
};

}  // namespace trireme
