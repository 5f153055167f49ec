// ldmatrix and mma.sync on 32 lanes, with the fragment layouts of the PTX ISA (sections "Warp-level
// matrix load instruction: ldmatrix" and "Matrix Fragments for mma.m16n8k16 with floating point
// type").
#include "engine.h"
#include "memory.h"

namespace simt {
namespace {

struct LoadLane : Lane {
  const std::uint16_t* row;
  bool transposed;
  std::uint32_t* matrices;
};

struct MultiplyLane : Lane {
  float* d;
  const std::uint32_t* a;
  const std::uint32_t* b;
  internvl::DType dtype;
};

/// Row r of matrix m lies where lane 8 m + r points; lane l gets the neighbours (l / 4, 2 (l % 4))
/// and (l / 4, 2 (l % 4) + 1), of the transposed matrix if that is asked for.
void deliver_matrices(Lane* const* lanes) {
  for (int m = 0; m < 4; ++m) {
    const auto element = [&](int row, int col) -> std::uint32_t {
      return static_cast<LoadLane*>(lanes[8 * m + row])->row[col];
    };
    for (int l = 0; l < 32; ++l) {
      const auto* lane = static_cast<LoadLane*>(lanes[l]);
      const int row = l / 4, col = l % 4 * 2;
      lane->matrices[m] = lane->transposed ? element(col, row) | element(col + 1, row) << 16
                                           : element(row, col) | element(row, col + 1) << 16;
    }
    // The eight rows of a matrix are read at once: each should have 4 of the 32 banks to itself.
    unsigned groups = 0;
    for (int row = 0; row < 8; ++row) {
      groups |= 1u << reinterpret_cast<std::uintptr_t>(
                          &static_cast<LoadLane*>(lanes[8 * m + row])->row[0]) /
                          16 % 8;
    }
    if (groups != 0xff) ++matrix_bank_conflicts;
  }
}

float half_of(std::uint32_t pair, int upper, internvl::DType dtype) {
  const auto bits = static_cast<std::uint16_t>(pair >> (16 * upper));
  return dtype == internvl::DType::kBFloat16 ? internvl::to_float(internvl::BFloat16{bits})
                                             : internvl::to_float(internvl::Float16{bits});
}

/// D (16 x 8) += A (16 x 16) B (16 x 8). With g = lane / 4 and t = lane % 4, a register of A holds
/// the pair of columns 2 t and 2 t + 1: rows g and g + 8 of columns 0-7, then of columns 8-15; one
/// of B the pair of rows 2 t and 2 t + 1 of column g, then the rows 8 below; D and C the columns
/// 2 t and 2 t + 1 of row g, then of row g + 8.
void multiply_matrices(Lane* const* lanes) {
  const internvl::DType dtype = static_cast<MultiplyLane*>(lanes[0])->dtype;
  float a[16][16], b[16][8];
  for (int l = 0; l < 32; ++l) {
    const auto* lane = static_cast<MultiplyLane*>(lanes[l]);
    const int g = l / 4, t = l % 4;
    for (int upper = 0; upper < 2; ++upper) {
      for (int i = 0; i < 4; ++i) {
        a[g + i % 2 * 8][t * 2 + upper + i / 2 * 8] = half_of(lane->a[i], upper, dtype);
      }
      for (int i = 0; i < 2; ++i) {
        b[t * 2 + upper + i * 8][g] = half_of(lane->b[i], upper, dtype);
      }
    }
  }
  for (int l = 0; l < 32; ++l) {
    const auto* lane = static_cast<MultiplyLane*>(lanes[l]);
    for (int i = 0; i < 4; ++i) {
      const int row = l / 4 + i / 2 * 8, col = l % 4 * 2 + i % 2;
      float sum = lane->d[i];
      for (int k = 0; k < 16; ++k) sum += a[row][k] * b[k][col];
      lane->d[i] = sum;
    }
  }
}

}  // namespace

void load_matrices(std::uint32_t* matrices, const void* row, bool transposed, Site site) {
  check_read(row, 16);
  LoadLane lane{
      {site, "ldmatrix", ~0u}, static_cast<const std::uint16_t*>(row), transposed, matrices};
  meet(lane, deliver_matrices);
}

void multiply_add(float* d, const std::uint32_t* a, const std::uint32_t* b, internvl::DType dtype,
                  Site site) {
  MultiplyLane lane{{site, "mma", ~0u}, d, a, b, dtype};
  meet(lane, multiply_matrices);
}

}  // namespace simt
