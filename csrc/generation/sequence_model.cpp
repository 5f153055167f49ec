#include "generation/sequence_model.h"

#include "core/order.h"

namespace internvl {

std::vector<std::int32_t> SequenceModel::greedy_step(const std::int32_t* tokens) {
  const std::int64_t rows = batch_size();
  std::vector<float> logits(rows * vocab_size());
  step(tokens, logits.data());
  std::vector<std::int32_t> best;
  for (std::int64_t r = 0; r < rows; ++r)
    best.push_back(
        static_cast<std::int32_t>(argmax(logits.data() + r * vocab_size(), vocab_size())));
  return best;
}

}  // namespace internvl
