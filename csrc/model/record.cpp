#include "model/record.h"

#include <algorithm>

#include "backend/transfer.h"

namespace internvl {

void record(const Recorders& recorders, const Backend& backend, const std::string& name,
            Tensor value, const std::vector<std::int64_t>& sequences) {
  const auto wants = [&](const auto& recorder) { return recorder->wants(name); };
  if (std::none_of(recorders.begin(), recorders.end(), wants)) return;
  const Matrix rows = to_host(backend, value);
  for (const auto& recorder : recorders) recorder->append(name, rows, sequences);
}

}  // namespace internvl
