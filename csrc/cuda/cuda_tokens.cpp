// From scores to tokens or candidates of beams. Nothing else goes back to the host but their
// scores, where there are any.
#include <algorithm>
#include <vector>

#include "backend/transfer.h"
#include "core/error.h"
#include "cuda/cuda_backend.h"
#include "cuda/transfer.h"

namespace internvl::cuda {
namespace {

/// The parts of TokenInputs::table, the widest elements first: a uniform number, a beam's score and
/// a length a row, the tokens to suppress, and the sequences.
struct InputTable {
  explicit InputTable(const TokenInputs& inputs)
      : rows(inputs.sequences.size()),
        length(inputs.sequences.empty() ? 0 : inputs.sequences.front().size()),
        beam_scores(inputs.uniforms.size() * sizeof(double)),
        lengths(beam_scores + inputs.beam_scores.size() * sizeof(float)),
        suppressed(lengths + rows * sizeof(std::int32_t)),
        sequences(suppressed + inputs.suppressed.size() * sizeof(std::int32_t)),
        bytes(sequences + rows * length * sizeof(std::int32_t)) {}

  std::size_t rows, length;
  std::size_t beam_scores, lengths, suppressed, sequences;  // offsets
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

bool CudaBackend::can_choose(const TokenRule& rule, std::int64_t vocab_size) const {
  return vocab_size < kMostScores && rule.candidates <= kMostCandidates &&
         rule.beams * vocab_size <= INT32_MAX;
}

void CudaBackend::prepare_choice(TokenInputs& inputs) const {
  const InputTable parts(inputs);
  std::vector<std::byte> table;
  append(table, inputs.uniforms);
  append(table, inputs.beam_scores);
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

void CudaBackend::process(Tensor scores, const TokenRule& rule, const TokenInputs& inputs) const {
  const InputTable parts(inputs);
  const TokenRows sequences{part_of<std::int32_t>(inputs, parts.sequences),
                            static_cast<std::int64_t>(parts.length),
                            part_of<std::int32_t>(inputs, parts.lengths)};
  const UseDevice use(device_->context());
  if (rule.has_candidates()) cuda::log_softmax(stream(), scores);
  if (rule.repetition_penalty != 1.0f)
    cuda::repetition_penalty(stream(), scores, sequences, rule.repetition_penalty);
  if (rule.no_repeat_ngram_size > 0)
    cuda::no_repeat_ngram(stream(), scores, sequences, rule.no_repeat_ngram_size);
  if (!inputs.suppressed.empty())
    cuda::suppress(stream(), scores, part_of<std::int32_t>(inputs, parts.suppressed),
                   static_cast<std::int64_t>(inputs.suppressed.size()));
}

TokenChoice CudaBackend::choose(Tensor scores, const TokenRule& rule,
                                const TokenInputs& inputs) const {
  const InputTable parts(inputs);
  Matrix processed(scores);
  if (rule.changes_scores()) {
    processed = matrix(DType::kFloat32, scores.rows, scores.cols);
    copy(processed, scores);
    process(processed, rule, inputs);
  }
  const std::int64_t per_prompt =
      rule.has_candidates() ? std::min(rule.candidates, rule.beams * scores.cols) : 1;
  const std::int64_t count = scores.rows / rule.beams * per_prompt;
  const int scores_row = 1, logprobs_row = rule.has_candidates() ? 2 : 1;
  const Matrix chosen = matrix(DType::kFloat32, logprobs_row + rule.logprobs, count);
  auto* tokens = chosen.tensor().row<std::int32_t>(0);  // which are as wide
  {
    const UseDevice use(device_->context());
    if (rule.has_candidates()) {
      const Buffer workspace = allocate(beam_workspace_bytes(scores.rows, per_prompt));
      cuda::beam_candidates(stream(), tokens, chosen.tensor().row<float>(scores_row), processed,
                            part_of<float>(inputs, parts.beam_scores), rule.beams, per_prompt,
                            workspace.data());
    } else if (rule.do_sample) {
      cuda::sample(stream(), tokens, part_of<double>(inputs, 0), processed,
                   {rule.temperature, rule.top_k, rule.top_p, rule.min_tokens_to_keep});
    } else {
      cuda::argmax(stream(), tokens, processed);
    }
    if (rule.logprobs)
      cuda::log_probability(stream(), chosen.tensor().row<float>(logprobs_row),
                            {tokens, rule.beams, per_prompt}, scores);
  }
  const Matrix host = to_host(*this, chosen);
  const auto row = [&](int index) {
    const auto* values = host.tensor().row<float>(index);
    return std::vector<float>(values, values + count);
  };
  TokenChoice choice;
  const auto* first = host.tensor().row<std::int32_t>(0);
  choice.tokens.assign(first, first + count);
  if (rule.has_candidates()) choice.scores = row(scores_row);
  if (rule.logprobs) choice.logprobs = row(logprobs_row);
  return choice;
}

}  // namespace internvl::cuda
