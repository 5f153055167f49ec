// What the kernels share: loops over vectors, and elementary functions on the vectors of the
// simd_*.h that was included before.
#pragma once

#define INTERNVL_UNROLL _Pragma("GCC unroll 8")

namespace internvl::cpu {
namespace INTERNVL_ISA {

inline std::int64_t least(std::int64_t a, std::int64_t b) { return a < b ? a : b; }

/// The number of lanes that [i, end) fills, i < end.
inline int lanes_from(std::int64_t i, std::int64_t end) {
  return end - i < kWidth ? static_cast<int>(end - i) : kWidth;
}

template <class T>
inline Vec load_lanes(const T* from, int lanes) {
  return lanes == kWidth ? load(from) : load_partial(from, lanes);
}

template <class T>
inline void store_lanes(T* to, Vec value, int lanes) {
  if (lanes == kWidth) return store(to, value);
  store_partial(to, value, lanes);
}

/// p(x) with the coefficient of the highest power first.
template <int kCount>
inline Vec polynomial(Vec x, const float (&coefficients)[kCount]) {
  Vec result = broadcast(coefficients[0]);
  for (int i = 1; i < kCount; ++i) result = fma(result, x, broadcast(coefficients[i]));
  return result;
}

/// e^x within 2 units of the last place; exactly zero for -infinity and below about -104,
/// infinity above 88.73, NaN for NaN.
inline Vec exp(Vec x) {
  x = min(broadcast(89.0f), max(broadcast(-110.0f), x));
  const Vec n = round(mul(x, broadcast(1.44269504f)));
  // x - n ln 2, ln 2 in two parts of which the first has few bits: the products are exact.
  const Vec r = fma(n, broadcast(2.12194440e-4f), fma(n, broadcast(-0.693359375f), x));
  // (e^r - 1 - r) / r^2 on |r| <= ln 2 / 2; coefficients of Cephes' expf.
  constexpr float kTail[] = {1.9875691500e-4f, 1.3981999507e-3f, 8.3334519073e-3f,
                             4.1665795894e-2f, 1.6666665459e-1f, 5.0000001201e-1f};
  const Vec p = fma(polynomial(r, kTail), mul(r, r), add(r, broadcast(1.0f)));
  return scale_by_power(p, n);
}

/// 2^x for x < 127; exactly one at zero, zero below about -150, NaN for NaN. Shorter than exp, for
/// the softmax, which can have its scores in units of ln 2. `powers`: kExp2 or kCoarseExp2.
template <int kCount>
inline Vec exp2(Vec x, const float (&powers)[kCount]) {
  const Exponent n = split_exponent(x);
  return scale_by_power(fma(polynomial(n.fraction, powers), n.fraction, broadcast(1.0f)), n.whole);
}

// (2^r - 1) / r on [0, 1), highest power first: the polynomials of least relative error of 2^r.
/// Within 2e-7.
constexpr float kExp2[] = {1.8671305e-3f, 9.01702942e-3f, 5.57999138e-2f, 2.4016445e-1f,
                           6.93151312e-1f};
/// Within 9e-5, a twentieth of what rounding the result to bfloat16 may cost.
constexpr float kCoarseExp2[] = {7.70670687e-2f, 2.27644962e-1f, 6.95116793e-1f};

/// 1 / (1 + e^-x)
inline Vec sigmoid(Vec x) {
  const Vec one = broadcast(1.0f);
  return div(one, add(one, exp(sub(zero(), x))));
}

/// The error function within 3e-7: an odd rational function on [-4, 4], beyond which erf is 1 in
/// float32. The coefficients are those of Eigen and XLA.
inline Vec erf(Vec x) {
  x = min(broadcast(4.0f), max(broadcast(-4.0f), x));
  const Vec square = mul(x, x);
  constexpr float kNumerator[] = {-2.72614225801306e-10f, 2.77068142495902e-08f,
                                  -2.10102402082508e-06f, -5.69250639462346e-05f,
                                  -7.34990630326855e-04f, -2.95459980854025e-03f,
                                  -1.60960333262415e-02f};
  constexpr float kDenominator[] = {-1.45660718464996e-05f, -2.13374055278905e-04f,
                                    -1.68282697438203e-03f, -7.37332916720468e-03f,
                                    -1.42647390514189e-02f};
  return div(mul(x, polynomial(square, kNumerator)), polynomial(square, kDenominator));
}

}  // namespace INTERNVL_ISA
}  // namespace internvl::cpu
