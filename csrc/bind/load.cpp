#include "bind/load.h"

#include <chrono>
#include <set>

#include "bind/gil.h"
#include "bind/names.h"
#include "bind/signals.h"
#include "core/error.h"

namespace py = pybind11;

namespace internvl::bind {
namespace {

template <class T>
void set(T& field, const py::dict& dict, const char* key) {
  field = dict[key].cast<T>();
}

VisionConfig parse_vision(const py::dict& dict) {
  VisionConfig config;
  set(config.hidden_size, dict, "hidden_size");
  set(config.intermediate_size, dict, "intermediate_size");
  set(config.num_hidden_layers, dict, "num_hidden_layers");
  set(config.num_attention_heads, dict, "num_attention_heads");
  set(config.num_channels, dict, "num_channels");
  set(config.image_size, dict, "image_size");
  set(config.patch_size, dict, "patch_size");
  set(config.qkv_bias, dict, "qkv_bias");
  set(config.qk_normalization, dict, "qk_normalization");
  set(config.layer_norm_eps, dict, "layer_norm_eps");
  config.norm_type =
      dict["norm_type"].cast<std::string>() == "layer" ? Norm::Kind::kLayer : Norm::Kind::kRms;
  config.hidden_act = parse_activation(dict["hidden_act"].cast<std::string>());
  return config;
}

DecoderConfig parse_decoder(const py::dict& dict) {
  DecoderConfig config;
  set(config.vocab_size, dict, "vocab_size");
  set(config.hidden_size, dict, "hidden_size");
  set(config.intermediate_size, dict, "intermediate_size");
  set(config.num_hidden_layers, dict, "num_hidden_layers");
  set(config.num_attention_heads, dict, "num_attention_heads");
  set(config.num_key_value_heads, dict, "num_key_value_heads");
  set(config.max_position_embeddings, dict, "max_position_embeddings");
  set(config.rms_norm_eps, dict, "rms_norm_eps");
  set(config.rope_theta, dict, "rope_theta");
  const py::dict scaling = dict["rope_scaling"];
  const auto type = scaling["type"].cast<std::string>();
  config.rope_scaling.type = type == "dynamic"  ? RopeScaling::Type::kDynamic
                             : type == "linear" ? RopeScaling::Type::kLinear
                                                : RopeScaling::Type::kNone;
  set(config.rope_scaling.factor, scaling, "factor");
  config.hidden_act = parse_activation(dict["hidden_act"].cast<std::string>());
  return config;
}

InternVLConfig parse_config(const py::dict& dict) {
  InternVLConfig config;
  config.vision = parse_vision(dict["vision"]);
  if (!dict.contains("decoder")) return config;  // a vision tower alone
  config.decoder = parse_decoder(dict["decoder"]);
  set(config.select_layer, dict, "select_layer");
  set(config.downsample_factor, dict, "downsample_factor");
  set(config.transposed_shuffle, dict, "transposed_shuffle");
  return config;
}

std::vector<StoredRows> parse_rows(const std::string& name, const std::vector<PyRowRange>& ranges) {
  std::vector<StoredRows> stored;
  for (const auto& [source, offset, dtype, rows, cols] : ranges) {
    const StoredRows& range =
        stored.emplace_back(StoredRows{source, offset, parse_dtype(dtype), rows, cols});
    check<CheckpointError>(offset <= source->size() && range.bytes() <= source->size() - offset,
                           "weight '", name, "': bytes ", offset, " to ", offset + range.bytes(),
                           " are outside the ", source->size(), " of their source");
  }
  return stored;
}

}  // namespace

std::shared_ptr<InternVL> load(const py::dict& config,
                               const std::map<std::string, std::vector<PyRowRange>>& weights,
                               const std::string& dtype, std::shared_ptr<Backend> backend,
                               const py::object& progress) {
  using Clock = std::chrono::steady_clock;
  const InternVLConfig parsed = parse_config(config);
  const DType parsed_dtype = parse_dtype(dtype);
  WeightMap stored;
  for (const auto& [name, ranges] : weights) stored[name] = parse_rows(name, ranges);
  const auto report = [&, last = Clock::now()](std::size_t bytes) mutable {
    if (Clock::now() - last < std::chrono::milliseconds(50)) return;
    last = Clock::now();
    with_gil([&] {
      throw_pending();
      if (!progress.is_none()) progress(bytes);
    });
  };
  if (backend == nullptr) backend = make_cpu_backend();
  const GilReleased unlocked;
  auto model = std::make_shared<InternVL>(parsed, parsed_dtype, std::move(backend), stored, report);
  // Headers and biases were read, too.
  std::set<const ByteSource*> sources;
  for (const auto& weight : stored)
    for (const StoredRows& range : weight.second) sources.insert(range.source.get());
  for (const ByteSource* source : sources) source->release(0, source->size());
  return model;
}

}  // namespace internvl::bind
