// From scores to tokens. Nothing but the tokens, and their log-probabilities if they are asked for,
// goes back to the host.
#include <vector>

#include "core/error.h"
#include "cuda/cuda_backend.h"
#include "cuda/transfer.h"

namespace internvl::cuda {
namespace {

/// The parts of TokenInputs::table, the widest elements first: a uniform number and a length a row,
/// the tokens to suppress, and the sequences.
struct InputTable {
  explicit InputTable(const TokenInputs& inputs)
      : rows(inputs.sequences.size()),
        length(inputs.sequences.empty() ? 0 : inputs.sequences.front().size()),
        lengths(inputs.uniforms.size() * sizeof(double)),
        suppressed(lengths + rows * sizeof(std::int32_t)),
        sequences(suppressed + inputs.suppressed.size() * sizeof(std::int32_t)),
        bytes(sequences + rows * length * sizeof(std::int32_t)) {}

  std::size_t rows, length;
  std::size_t lengths, suppressed, sequences;  // offsets
  std::size_t bytes;
};

template <class T>
void append(std::vector<std::byte>& table, const std::vector<T>& values) {
  const auto* bytes = reinterpret_cast<const std::byte*>(values.data());
  table.insert(table.end(), bytes, bytes + values.size() * sizeof(T));
}

template <class T>
const T* part_of(const TokenInputs& inputs, std::size_t offset) {
  return reinterpret_cast<const T*>(inputs.table.data() + offset);
}

}  // namespace

bool CudaBackend::can_choose(const TokenRule&, std::int64_t vocab_size) const {
  return vocab_size < kMostScores;
}

void CudaBackend::prepare_choice(TokenInputs& inputs) const {
  const InputTable parts(inputs);
  std::vector<std::byte> table;
  append(table, inputs.uniforms);
  append(table, std::vector<std::int32_t>(parts.rows, static_cast<std::int32_t>(parts.length)));
  append(table, inputs.suppressed);
  for (const std::vector<std::int64_t>& sequence : inputs.sequences)
    append(table, std::vector<std::int32_t>(sequence.begin(), sequence.end()));
  check<InternalError>(table.size() == parts.bytes, "choose: sequences of unequal length");
  inputs.table = allocate(parts.bytes);
  const auto count = static_cast<std::int64_t>(parts.bytes / sizeof(float));  // four bytes each
  transfer(*device_, {inputs.table.data(), DType::kFloat32, 1, count, count, Place::kDevice},
           internvl::matrix(table.data(), DType::kFloat32, 1, count));
}

TokenChoice CudaBackend::choose(Tensor scores, const TokenRule& rule,
                                const TokenInputs& inputs) const {
  const InputTable parts(inputs);
  const TokenRows sequences{part_of<std::int32_t>(inputs, parts.sequences),
                            static_cast<std::int64_t>(parts.length),
                            part_of<std::int32_t>(inputs, parts.lengths)};
  const std::int64_t rows = scores.rows;
  const Matrix chosen = matrix(DType::kFloat32, rule.logprobs ? 2 : 1, rows);  // tokens are as wide
  auto* tokens = chosen.tensor().row<std::int32_t>(0);
  Matrix processed(scores);
  if (rule.logprobs) {  // which are those of the scores before
    processed = matrix(DType::kFloat32, rows, scores.cols);
    copy(processed, scores);
  }
  {
    const UseDevice use(device_->index());
    if (rule.repetition_penalty != 1.0f)
      cuda::repetition_penalty(stream(), processed, sequences, rule.repetition_penalty);
    if (rule.no_repeat_ngram_size > 0)
      cuda::no_repeat_ngram(stream(), processed, sequences, rule.no_repeat_ngram_size);
    if (!inputs.suppressed.empty())
      cuda::suppress(stream(), processed, part_of<std::int32_t>(inputs, parts.suppressed),
                     static_cast<std::int64_t>(inputs.suppressed.size()));
    if (rule.do_sample) {
      cuda::sample(stream(), tokens, part_of<double>(inputs, 0), processed,
                   {rule.temperature, rule.top_k, rule.top_p, rule.min_tokens_to_keep});
    } else {
      cuda::argmax(stream(), tokens, processed);
    }
    if (rule.logprobs)
      cuda::log_probability(stream(), chosen.tensor().row<float>(1), tokens, scores);
  }
  const Matrix host(Buffer(chosen.tensor().rows * rows * sizeof(float)), DType::kFloat32,
                    chosen.tensor().rows, rows);
  copy(host, chosen);
  TokenChoice choice;
  const auto* first = host.tensor().row<std::int32_t>(0);
  choice.tokens.assign(first, first + rows);
  if (rule.logprobs) {
    const auto* second = host.tensor().row<float>(1);
    choice.logprobs.assign(second, second + rows);
  }
  return choice;
}

}  // namespace internvl::cuda
