// What tests of goldens share: ids, streamed decoding, and a tokenizer against the ids and texts that Hugging Face's
// tokenizers made of it.
#pragma once

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "base/error.h"
#include "base/json.h"
#include "tokenizer/encoder.h"
#include "tokenizer/read.h"
#include "tokenizer/stream_decoder.h"

namespace trireme::testing {

using Ids = std::vector<int32_t>;

inline Ids ids_of(const Json& json) {
  Ids ids;
  for (const Json& id : json.items()) ids.push_back(static_cast<int32_t>(id.as_integer()));
  return ids;
}

inline std::string streamed(const Tokenizer& tokenizer, const Ids& ids) {
  StreamDecoder decoder(tokenizer);
  std::string out;
  for (const int32_t id : ids) out += decoder.push(id);
  return out + decoder.finish();
}

/// The tokenizer of this name in a golden of several.
inline const Json& entry_of(const Json& golden, std::string_view name) {
  for (const Json& entry : golden.at("tokenizers").items())
    if (entry.at("name").as_string() == name) return entry;
  throw Bug(cat("no ", name, " in the golden"));
}

/// Texts of an entry of zoo.json, unigram.json or parts.json against the ids in it; returns how many.
inline size_t compare_kind(const Json& entry, const Json& root) {
  SCOPED_TRACE(entry.at("name").as_string());
  const Tokenizer tokenizer(make_json_spec(root, {}));
  Encoder encoder(tokenizer, 64);
  for (const Json& item : entry.at("cases").items()) {
    const std::string& text = item.at("text").as_string();
    SCOPED_TRACE(text);
    const bool has_plain = item.find("ids") != nullptr;
    const Ids special = ids_of(item.at(item.find("special") != nullptr ? "special" : "ids"));
    if (has_plain) {
      EXPECT_EQ(tokenizer.encode(text), ids_of(item.at("ids")));
    }
    EXPECT_EQ(tokenizer.encode(text, true), special);
    Ids again;
    encoder.encode(again, text, true);
    EXPECT_EQ(again, special);
    if (item.find("decoded") != nullptr) {
      EXPECT_EQ(tokenizer.decode(special), item.at("decoded").as_string());
    }
    EXPECT_EQ(streamed(tokenizer, special), tokenizer.decode(special));
  }
  Ids around = tokenizer.spec().template_before;
  around.insert(around.end(), tokenizer.spec().template_after.begin(), tokenizer.spec().template_after.end());
  EXPECT_EQ(around, ids_of(entry.at("template")));
  return entry.at("cases").size();
}

}  // namespace trireme::testing
