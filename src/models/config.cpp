#include "models/config.h"

#include <algorithm>
#include <vector>

#include "base/strings.h"

namespace trireme {
namespace {

constexpr int64_t kMaxHidden = 1 << 18;

// Keys that other tools write and that change nothing here.
constexpr std::string_view kIgnored[] = {"architectures",
                                         "torch_dtype",
                                         "dtype",
                                         "transformers_version",
                                         "use_cache",
                                         "pretraining_tp",
                                         "_name_or_path",
                                         "task_specific_params",
                                         "summary_type",
                                         "summary_use_proj",
                                         "summary_activation",
                                         "summary_proj_to_labels",
                                         "summary_first_dropout",
                                         "n_ctx",
                                         "gradient_checkpointing",
                                         "output_past",
                                         "pad_token_id",
                                         "max_window_layers",
                                         "use_sliding_window",
                                         "layer_types",
                                         "is_decoder",
                                         "add_cross_attention",
                                         "cross_attention_hidden_size",
                                         "chunk_size_feed_forward",
                                         "return_dict",
                                         "output_hidden_states",
                                         "output_attentions",
                                         "id2label",
                                         "label2id",
                                         "problem_type",
                                         "is_encoder_decoder",
                                         "reorder_and_upcast_attn",
                                         "rope_interleaved"};

/// Reads keys of one object and remembers which were known, so that the rest can be refused.
class Reader {
 public:
  explicit Reader(const Json& json, std::string prefix = "model.") : json_(json), prefix_(std::move(prefix)) {
    if (!json.is_object()) throw ConfigError(cat(prefix_, ": expected a mapping, found ", kind_name(json.kind())));
  }

  const Json* find(std::string_view key) {
    known_.push_back(key);
    const Json* value = json_.find(key);
    return value != nullptr && !value->is_null() ? value : nullptr;
  }
  void read(std::string_view key, int64_t& to) {
    if (const Json* v = find(key)) to = wrap(key, [&] { return v->as_integer(); });
  }
  void read(std::string_view key, double& to) {
    if (const Json* v = find(key)) to = wrap(key, [&] { return v->as_real(); });
  }
  void read(std::string_view key, bool& to) {
    if (const Json* v = find(key)) to = wrap(key, [&] { return v->as_bool(); });
  }
  void read(std::string_view key, std::string& to) {
    if (const Json* v = find(key)) to = wrap(key, [&] { return v->as_string(); });
  }
  /// The key may only have this value: anything else is a model we do not run.
  void require(std::string_view key, const std::string& value) {
    std::string found = value;
    read(key, found);
    if (found != value) throw ConfigError(cat(prefix_, key, ": '", found, "' is not supported, only '", value, "'"));
  }
  void require(std::string_view key, bool value) {
    bool found = value;
    read(key, found);
    if (found != value) throw ConfigError(cat(prefix_, key, ": ", found ? "true" : "false", " is not supported"));
  }
  /// Token ids may be one number or a list, of which the first counts.
  void read_token(std::string_view key, int64_t& to) {
    const Json* v = find(key);
    if (v == nullptr) return;
    if (v->is_array() && v->size() > 0) v = &v->items()[0];
    to = wrap(key, [&] { return v->as_integer(); });
  }

  void refuse_others() const {
    for (const Json::Member& member : json_.members()) {
      if (std::find(known_.begin(), known_.end(), member.first) != known_.end()) continue;
      if (std::find(std::begin(kIgnored), std::end(kIgnored), member.first) != std::end(kIgnored)) continue;
      throw ConfigError(cat(member.second.line > 0 ? cat("line ", member.second.line, ": ") : "", "unknown key '",
                            prefix_, member.first, "'", did_you_mean(member.first, known_)));
    }
  }

 private:
  template <class F>
  auto wrap(std::string_view key, F read) const -> decltype(read()) {
    try {
      return read();
    } catch (const ConfigError& e) {
      throw ConfigError(cat(prefix_, key, ": ", e.what()));
    }
  }
  const Json& json_;
  std::string prefix_;
  std::vector<std::string_view> known_;
};

void read_gpt2(Reader& r, ModelConfig& c) {
  r.read("n_embd", c.hidden_size);
  r.read("n_layer", c.num_hidden_layers);
  r.read("n_head", c.num_attention_heads);
  r.read("n_positions", c.max_position_embeddings);
  c.intermediate_size = 4 * std::min(c.hidden_size, kMaxHidden);
  r.read("n_inner", c.intermediate_size);
  c.num_key_value_heads = c.num_attention_heads;
  c.head_dim = c.num_attention_heads > 0 ? c.hidden_size / c.num_attention_heads : 0;
  r.read("layer_norm_epsilon", c.norm_eps);
  c.resid_pdrop = c.embd_pdrop = c.attn_pdrop = 0.1;
  r.read("resid_pdrop", c.resid_pdrop);
  r.read("embd_pdrop", c.embd_pdrop);
  r.read("attn_pdrop", c.attn_pdrop);
  r.require("activation_function", std::string("gelu_new"));
  r.require("scale_attn_weights", true);
  r.require("scale_attn_by_inverse_layer_idx", false);
  c.qkv_bias = c.out_bias = c.mlp_bias = true;
}

void read_rope(Reader& r, ModelConfig& c) {
  r.read("rope_theta", c.rope_theta);
  for (const std::string_view key : {"rope_scaling", "rope_parameters"}) {
    const Json* scaling = r.find(key);
    if (scaling == nullptr) continue;
    Reader s(*scaling, cat("model.", key, "."));
    std::string type = "default";
    s.read("type", type);
    s.read("rope_type", type);
    s.read("rope_theta", c.rope_theta);
    s.read("factor", c.rope_factor);
    s.read("low_freq_factor", c.rope_low_freq_factor);
    s.read("high_freq_factor", c.rope_high_freq_factor);
    s.read("original_max_position_embeddings", c.rope_original_max_position);
    s.refuse_others();
    if (type == "llama3")
      c.rope_scaling = RopeScaling::llama3;
    else if (type == "linear")
      c.rope_scaling = RopeScaling::linear;
    else if (type != "default")
      throw ConfigError(cat("model.", key, ": type '", type, "' is not supported, only default, linear and llama3"));
  }
}

/// The window of every layer. Qwen's files say which layers have one, by name or by the first; we run all or none.
int64_t read_window(Reader& r, const ModelConfig& c) {
  int64_t window = 0, first = -1;
  bool used = c.model_type == "mistral";
  r.read("sliding_window", window);
  if (c.model_type == "llama") {
    if (window > 0)
      throw ConfigError("model.sliding_window: model_type llama has no window; mistral, qwen2 and qwen3 have");
    return 0;
  }
  r.read("use_sliding_window", used);
  if (!used || window == 0 || c.model_type == "mistral") return used ? window : 0;

  r.read("max_window_layers", first);
  int64_t windowed = first < 0 ? -1 : first >= c.num_hidden_layers ? 0 : c.num_hidden_layers - first;
  if (const Json* types = r.find("layer_types")) {
    windowed = 0;
    for (const Json& type : types->items()) windowed += type.as_string() == "sliding_attention" ? 1 : 0;
  }
  if (windowed < 0)
    throw ConfigError(
        "model.use_sliding_window needs max_window_layers, the first layer with a window: 0 for all of them");
  if (windowed != 0 && windowed != c.num_hidden_layers)
    throw ConfigError(cat("model.sliding_window: ", windowed, " of ", c.num_hidden_layers,
                          " layers have it; only all or none are supported"));
  return windowed > 0 ? window : 0;
}

void read_llama(Reader& r, ModelConfig& c) {
  r.read("hidden_size", c.hidden_size);
  r.read("num_hidden_layers", c.num_hidden_layers);
  r.read("num_attention_heads", c.num_attention_heads);
  c.num_key_value_heads = c.num_attention_heads;
  r.read("num_key_value_heads", c.num_key_value_heads);
  r.read("intermediate_size", c.intermediate_size);
  r.read("max_position_embeddings", c.max_position_embeddings);
  c.head_dim = c.num_attention_heads > 0 ? c.hidden_size / c.num_attention_heads : 0;
  r.read("head_dim", c.head_dim);
  c.norm_eps = 1e-6;
  r.read("rms_norm_eps", c.norm_eps);
  r.require("hidden_act", std::string("silu"));
  r.read("attention_dropout", c.attn_pdrop);
  c.qkv_bias = c.model_type == "qwen2";
  c.qk_norm = c.model_type == "qwen3";
  if (c.model_type == "llama" || c.model_type == "qwen3") {
    r.read("attention_bias", c.qkv_bias);
    c.out_bias = c.qkv_bias;
  }
  if (c.model_type == "llama") r.read("mlp_bias", c.mlp_bias);
  c.sliding_window = read_window(r, c);
  read_rope(r, c);
}

/// Upper limits are beyond any model, and small enough that the bytes of all parameters together fit 64 bits.
void require_within(std::string_view key, int64_t value, int64_t least, int64_t most) {
  if (value < least || value > most)
    throw ConfigError(cat("model.", key, " is ", value, ", expected ", least, " to ", most));
}

}  // namespace

ModelConfig ModelConfig::from_json(const Json& given) {
  Json json = given.is_string() ? model_preset(given.as_string()) : given;
  if (!json.is_object())
    throw ConfigError(cat("model: expected a preset's name or keys of config.json, found ", kind_name(json.kind())));
  if (const Json* preset = json.find("preset")) {
    Json merged = model_preset(preset->as_string());
    for (const Json::Member& member : json.members())
      if (member.first != "preset") merged[member.first] = member.second;
    json = std::move(merged);
  }
  ModelConfig c;
  Reader r(json);
  r.read("model_type", c.model_type);
  constexpr std::string_view kTypes[] = {"gpt2", "llama", "mistral", "qwen2", "qwen3"};
  if (std::find(std::begin(kTypes), std::end(kTypes), c.model_type) == std::end(kTypes))
    throw ConfigError(
        cat("model.model_type: '", c.model_type, "' is not supported", did_you_mean(c.model_type, kTypes)));
  c.tie_word_embeddings = c.is_gpt2();
  r.read("vocab_size", c.vocab_size);
  r.read("tie_word_embeddings", c.tie_word_embeddings);
  r.read("initializer_range", c.initializer_range);
  r.read_token("bos_token_id", c.bos_token_id);
  r.read_token("eos_token_id", c.eos_token_id);
  if (c.is_gpt2())
    read_gpt2(r, c);
  else
    read_llama(r, c);
  r.refuse_others();
  c.validate();
  return c;
}

void ModelConfig::validate() const {
  const bool gpt = is_gpt2();
  require_within("vocab_size", vocab_size, 0, 1 << 27);
  require_within(gpt ? "n_embd" : "hidden_size", hidden_size, 1, kMaxHidden);
  require_within(gpt ? "n_layer" : "num_hidden_layers", num_hidden_layers, 1, 1 << 12);
  require_within(gpt ? "n_head" : "num_attention_heads", num_attention_heads, 1, 1 << 12);
  require_within("num_key_value_heads", num_key_value_heads, 1, 1 << 12);
  require_within(gpt ? "n_inner" : "intermediate_size", intermediate_size, 1, 1 << 22);
  require_within(gpt ? "n_positions" : "max_position_embeddings", max_position_embeddings, 1, 1 << 26);
  require_within("sliding_window", sliding_window, 0, 1 << 26);
  if (gpt && hidden_size % num_attention_heads != 0)
    throw ConfigError(cat("model.n_head is ", num_attention_heads, ", which does not divide n_embd ", hidden_size));
  if (!gpt && hidden_size % num_attention_heads != 0 && head_dim == hidden_size / num_attention_heads)
    throw ConfigError(cat("model.num_attention_heads is ", num_attention_heads, ", which does not divide hidden_size ",
                          hidden_size, "; set head_dim where that is meant"));
  require_within("head_dim", head_dim, 1, 1 << 12);
  if (num_attention_heads % num_key_value_heads != 0)
    throw ConfigError(cat("model.num_key_value_heads is ", num_key_value_heads,
                          ", which does not divide num_attention_heads ", num_attention_heads));
  if (!gpt && head_dim % 2 != 0)
    throw ConfigError(cat("model.head_dim is ", head_dim, "; rotary positions need an even one"));
  for (const auto& [key, p] : {std::pair{"resid_pdrop", resid_pdrop},
                               {"embd_pdrop", embd_pdrop},
                               {gpt ? "attn_pdrop" : "attention_dropout", attn_pdrop}})
    if (!(p >= 0 && p < 1)) throw ConfigError(cat("model.", key, " is ", p, ", expected 0 or more and below 1"));
  if (!(norm_eps > 0))
    throw ConfigError(cat("model: the epsilon of the norms is ", norm_eps, ", expected more than 0"));
  if (!(rope_theta > 0) || !(rope_factor > 0))
    throw ConfigError("model.rope_theta and the factor of rope_scaling must be more than 0");
  if (!(initializer_range > 0))
    throw ConfigError(cat("model.initializer_range is ", initializer_range, ", expected more than 0"));
}

Json ModelConfig::to_json() const {
  Json j = Json::object();
  const auto put = [&](std::string_view key, const Json& value) { j[key] = value; };
  const std::string type = model_type == "gpt2"
                               ? "GPT2LMHeadModel"
                               : cat(static_cast<char>(model_type[0] - 'a' + 'A'), model_type.substr(1), "ForCausalLM");
  j["architectures"] = Json::array();
  j["architectures"].push_back(type);
  put("model_type", model_type);
  put("vocab_size", vocab_size);
  if (is_gpt2()) {
    put("n_embd", hidden_size);
    put("n_layer", num_hidden_layers);
    put("n_head", num_attention_heads);
    put("n_inner", intermediate_size);
    put("n_positions", max_position_embeddings);
    put("layer_norm_epsilon", norm_eps);
    put("activation_function", "gelu_new");
    put("resid_pdrop", resid_pdrop);
    put("embd_pdrop", embd_pdrop);
    put("attn_pdrop", attn_pdrop);
  } else {
    put("hidden_size", hidden_size);
    put("num_hidden_layers", num_hidden_layers);
    put("num_attention_heads", num_attention_heads);
    put("num_key_value_heads", num_key_value_heads);
    put("head_dim", head_dim);
    put("intermediate_size", intermediate_size);
    put("max_position_embeddings", max_position_embeddings);
    put("rms_norm_eps", norm_eps);
    put("hidden_act", "silu");
    put("attention_dropout", attn_pdrop);
    put("rope_theta", rope_theta);
    if (rope_scaling != RopeScaling::none) {
      Json s = Json::object();
      s["rope_type"] = rope_scaling == RopeScaling::linear ? "linear" : "llama3";
      s["factor"] = rope_factor;
      if (rope_scaling == RopeScaling::llama3) {
        s["low_freq_factor"] = rope_low_freq_factor;
        s["high_freq_factor"] = rope_high_freq_factor;
        s["original_max_position_embeddings"] = rope_original_max_position;
      }
      j["rope_scaling"] = s;
    }
    if (model_type == "llama" || model_type == "qwen3") put("attention_bias", qkv_bias);
    if (model_type == "llama") put("mlp_bias", mlp_bias);
    if (model_type == "mistral")
      put("sliding_window", sliding_window > 0 ? Json(sliding_window) : Json());  // absent would mean 4096
    if (sliding_window > 0 && model_type != "mistral") {
      put("sliding_window", sliding_window);
      put("use_sliding_window", true);
      put("max_window_layers", int64_t{0});
    }
  }
  put("tie_word_embeddings", tie_word_embeddings);
  put("initializer_range", initializer_range);
  put("bos_token_id", bos_token_id >= 0 ? Json(bos_token_id) : Json());  // absent, transformers would take its own ids
  put("eos_token_id", eos_token_id >= 0 ? Json(eos_token_id) : Json());
  return j;
}

}  // namespace trireme
