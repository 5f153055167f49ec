// Operations of a warp: lanes leave what they bring, the last one to come computes for all.
#include <string>

#include "engine.h"
#include "memory.h"

namespace simt {
namespace {

struct ShuffleLane : Lane {
  std::uint32_t value;
  int source;
  std::uint32_t result;
};

struct BallotLane : Lane {
  bool predicate;
  unsigned result;
};

int source_lane(Shuffle kind, int lane, int operand, int width) {
  const int first = lane / width * width;
  int source = lane;
  switch (kind) {
    case Shuffle::kIndex: return first + (operand & (width - 1));
    case Shuffle::kUp: source = lane - operand; break;
    case Shuffle::kDown: source = lane + operand; break;
    case Shuffle::kXor: source = lane ^ operand; break;
  }
  return source < first || source >= first + width ? lane : source;
}

}  // namespace

std::uint32_t shuffle(Shuffle kind, unsigned mask, std::uint32_t value, int operand, int width,
                      Site site) {
  ShuffleLane lane{{site, "shuffle", mask}, value, 0, 0};
  lane.source = source_lane(kind, running.thread % 32, operand, width);
  if ((mask >> lane.source & 1) == 0) {
    fail("shuffle from lane " + std::to_string(lane.source) + ", which takes no part", site);
  }
  meet(lane, [](Lane* const* lanes) {
    for (int i = 0; i < 32; ++i) {
      if (lanes[i] == nullptr) continue;
      auto* to = static_cast<ShuffleLane*>(lanes[i]);
      to->result = static_cast<ShuffleLane*>(lanes[to->source])->value;
    }
  });
  return lane.result;
}

unsigned ballot(unsigned mask, bool predicate, Site site) {
  BallotLane lane{{site, "vote", mask}, predicate, 0};
  meet(lane, [](Lane* const* lanes) {
    unsigned result = 0;
    for (int i = 0; i < 32; ++i) {
      if (lanes[i] != nullptr && static_cast<BallotLane*>(lanes[i])->predicate) result |= 1u << i;
    }
    for (int i = 0; i < 32; ++i) {
      if (lanes[i] != nullptr) static_cast<BallotLane*>(lanes[i])->result = result;
    }
  });
  return lane.result;
}

void sync_warp(unsigned mask, Site site) {
  Lane lane{site, "__syncwarp", mask};
  meet(lane, [](Lane* const*) { ++running.warp_intervals[running.thread / 32]; });
}

}  // namespace simt
