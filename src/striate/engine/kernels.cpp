// What is left of a training step beside convolutions and products: 2 x 2 max pooling and batch normalization, each with the ReLU after it.
//
// Maps lie channels last, (N, H, W, C), in float32 or bfloat16; sums are float32 over 64 rows, then float64. Each thread has a fixed part of
// the places, so that the same number of threads gives the same bits. `engine/fused.py` calls these functions.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <omp.h>
#include <vector>

namespace {

struct bfloat16 { uint16_t bits; };  // the upper half of a float

inline float number(float value) { return value; }
inline float number(bfloat16 value) {
  const uint32_t bits = uint32_t(value.bits) << 16;
  float number;
  memcpy(&number, &bits, 4);
  return number;
}

inline void put(float* place, float value) { *place = value; }
inline void put(bfloat16* place, float value) {  // rounded to the nearest, ties to even
  uint32_t bits;
  memcpy(&bits, &value, 4);
  bits = value != value ? 0x7fc00000u : bits + 0x7fffu + ((bits >> 16) & 1u);
  place->bits = uint16_t(bits >> 16);
}

constexpr uint8_t NONE = 4;  // of the places of a window: the maximum is not positive

// ReLU of the maxima of windows of 2 x 2; `at` (N, H/2, W/2, C) tells the place of each, the first of equal ones, as torch does.
template <class T>
void max_pool(const T* x, T* y, uint8_t* at, int64_t count, int64_t height, int64_t width, int64_t channels, int threads) {
  const int64_t tall = height / 2, wide = width / 2;
#pragma omp parallel for num_threads(threads) schedule(static)
  for (int64_t line = 0; line < count * tall; line++) {
    const T* above = x + ((line / tall) * height + 2 * (line % tall)) * width * channels;
    const T* below = above + width * channels;
    for (int64_t column = 0; column < wide; column++) {
      const T *a = above + 2 * column * channels, *b = a + channels, *c = below + 2 * column * channels, *d = c + channels;
      T* out = y + (line * wide + column) * channels;
      uint8_t* place = at + (line * wide + column) * channels;
#pragma omp simd
      for (int64_t k = 0; k < channels; k++) {
        const float second = number(b[k]), third = number(c[k]), fourth = number(d[k]);
        float most = number(a[k]);
        uint32_t where = 0;
        bool more = second > most || second != second;  // NaN is the maximum, the last one
        most = more ? second : most, where = more ? 1u : where;
        more = third > most || third != third;
        most = more ? third : most, where = more ? 2u : where;
        more = fourth > most || fourth != fourth;
        most = more ? fourth : most, where = more ? 3u : where;
        where = most <= 0 ? uint32_t(NONE) : where;
        put(out + k, most <= 0 ? 0.f : most);
        place[k] = uint8_t(where);
      }
    }
  }
}

// The gradient of `max_pool`; T is an integer of the numbers' size, as they are only moved.
template <class T>
void max_pool_back(const T* dy, const uint8_t* at, T* dx, int64_t count, int64_t height, int64_t width, int64_t channels, int threads) {
  const int64_t tall = height / 2, wide = width / 2;
#pragma omp parallel for num_threads(threads) schedule(static)
  for (int64_t line = 0; line < count * tall; line++) {
    T* above = dx + ((line / tall) * height + 2 * (line % tall)) * width * channels;
    T* below = above + width * channels;
    for (int64_t column = 0; column < wide; column++) {
      T *a = above + 2 * column * channels, *b = a + channels, *c = below + 2 * column * channels, *d = c + channels;
      const T* gradient = dy + (line * wide + column) * channels;
      const uint8_t* place = at + (line * wide + column) * channels;
#pragma omp simd
      for (int64_t k = 0; k < channels; k++) {
        const T where = place[k], g = gradient[k];
        a[k] = where == 0 ? g : T(0);
        b[k] = where == 1 ? g : T(0);
        c[k] = where == 2 ? g : T(0);
        d[k] = where == 3 ? g : T(0);
      }
    }
    if (width % 2) {  // what no window has
      memset(above + (width - 1) * channels, 0, sizeof(T) * channels);
      memset(below + (width - 1) * channels, 0, sizeof(T) * channels);
    }
    if (height % 2 && line % tall == tall - 1) memset(below + width * channels, 0, sizeof(T) * width * channels);
  }
}

// Rows of few channels are taken several at a time, as one of at least 64 numbers, which fills the processor's vectors.
int64_t rows_at_a_time(int64_t places, int64_t channels) {
  int64_t rows = 1;
  while (channels * rows < 64 && places % (2 * rows) == 0) rows *= 2;
  return rows;
}

constexpr int64_t BLOCK = 64;  // rows whose sums are float32

// Sums of two numbers a place, `add(row, first, second)`, over the rows of this thread, into its own (2, wide) `total`.
template <class Add>
void summed(int64_t begin, int64_t end, int64_t wide, double* total, Add add) {
  std::vector<float> block(2 * wide);
  for (int64_t start = begin; start < end; start += BLOCK) {
    std::fill(block.begin(), block.end(), 0.f);
    for (int64_t row = start; row < std::min(start + BLOCK, end); row++) add(row, block.data(), block.data() + wide);
    for (int64_t j = 0; j < 2 * wide; j++) total[j] += block[j];
  }
}

// Sum `which` of a channel over the threads, and over the rows that were taken as one.
double gathered(const std::vector<double>& totals, int which, int64_t channel, int64_t channels, int64_t wide, int threads) {
  double sum = 0;
  for (int t = 0; t < threads; t++)
    for (int64_t j = channel; j < wide; j += channels) sum += totals[(2 * t + which) * wide + j];
  return sum;
}

// y = (x - mean) inverse weight + bias over `places` rows of `channels`, rectified or not; mean and 1 / deviation are given back.
template <class T>
void norm(const T* x, const float* weight, const float* bias, float* running_mean, float* running_var, float momentum, float eps, T* y,
          float* mean, float* inverse, int64_t places, int64_t channels, bool rectified, int threads) {
  const int64_t rows_of_one = rows_at_a_time(places, channels), wide = channels * rows_of_one, rows = places / rows_of_one;
  std::vector<double> totals(size_t(threads) * 2 * wide);
  std::vector<float> pivots(wide), scales(wide), shifts(wide);
  for (int64_t j = 0; j < wide; j++) pivots[j] = number(x[j % channels]);  // near the mean: squares of small numbers keep their digits
  float *pivot = pivots.data(), *scale = scales.data(), *shift = shifts.data();
#pragma omp parallel num_threads(threads)
  {
    const int t = omp_get_thread_num();
    const int64_t begin = rows * t / threads, end = rows * (t + 1) / threads;
    summed(begin, end, wide, totals.data() + 2 * t * wide, [=](int64_t row, float* sum, float* square) {
      const T* in = x + row * wide;
#pragma omp simd
      for (int64_t j = 0; j < wide; j++) {
        const float value = number(in[j]) - pivot[j];
        sum[j] += value, square[j] += value * value;
      }
    });
#pragma omp barrier
#pragma omp for schedule(static)
    for (int64_t k = 0; k < channels; k++) {
      const double off = gathered(totals, 0, k, channels, wide, threads) / places;
      const double squares = gathered(totals, 1, k, channels, wide, threads) / places - off * off;
      const double variance = squares < 0 ? 0 : squares;  // NaN stays NaN
      mean[k] = float(pivot[k] + off), inverse[k] = float(1 / std::sqrt(variance + eps));
      running_mean[k] += momentum * (mean[k] - running_mean[k]);
      running_var[k] += momentum * (float(variance * places / (places - 1)) - running_var[k]);
      for (int64_t j = k; j < wide; j += channels) scale[j] = weight[k] * inverse[k], shift[j] = bias[k] - mean[k] * weight[k] * inverse[k];
    }
    for (int64_t row = begin; row < end; row++) {
      const T* in = x + row * wide;
      T* out = y + row * wide;
      if (rectified) {
#pragma omp simd
        for (int64_t j = 0; j < wide; j++) {
          const float value = number(in[j]) * scale[j] + shift[j];
          put(out + j, value <= 0 ? 0.f : value);
        }
      } else {
#pragma omp simd
        for (int64_t j = 0; j < wide; j++) put(out + j, number(in[j]) * scale[j] + shift[j]);
      }
    }
  }
}

// The gradients of `norm`; where the output was not positive is computed again, as nothing of it was kept.
template <class T>
void norm_back(const T* dy, const T* x, const float* weight, const float* bias, const float* mean, const float* inverse, T* dx,
               float* dweight, float* dbias, int64_t places, int64_t channels, bool rectified, int threads) {
  const int64_t rows_of_one = rows_at_a_time(places, channels), wide = channels * rows_of_one, rows = places / rows_of_one;
  std::vector<double> totals(size_t(threads) * 2 * wide);
  std::vector<float> tiles(5 * wide);
  float *centre = tiles.data(), *scale = centre + wide, *shift = scale + wide, *slope = shift + wide, *level = slope + wide;
  for (int64_t j = 0; j < wide; j++) {
    const int64_t k = j % channels;
    centre[j] = mean[k], scale[j] = weight[k] * inverse[k], shift[j] = bias[k] - mean[k] * weight[k] * inverse[k];
  }
#pragma omp parallel num_threads(threads)
  {
    const int t = omp_get_thread_num();
    const int64_t begin = rows * t / threads, end = rows * (t + 1) / threads;
    summed(begin, end, wide, totals.data() + 2 * t * wide, [=](int64_t row, float* sum, float* product) {
      const T *in = x + row * wide, *gradient = dy + row * wide;
#pragma omp simd
      for (int64_t j = 0; j < wide; j++) {
        const float value = number(in[j]);
        const float g = rectified && value * scale[j] + shift[j] <= 0 ? 0.f : number(gradient[j]);
        sum[j] += g, product[j] += g * (value - centre[j]);
      }
    });
#pragma omp barrier
#pragma omp for schedule(static)
    for (int64_t k = 0; k < channels; k++) {
      const double sum = gathered(totals, 0, k, channels, wide, threads), product = gathered(totals, 1, k, channels, wide, threads);
      dbias[k] = float(sum), dweight[k] = float(product * inverse[k]);
      // dx = scale (g - mean of g - (x - mean) inverse^2 mean of g (x - mean)) = scale g + slope x + level
      const double factor = -double(scale[k]) * inverse[k] * inverse[k] * product / places;
      for (int64_t j = k; j < wide; j += channels)
        slope[j] = float(factor), level[j] = float(-double(scale[k]) * sum / places - factor * mean[k]);
    }
    for (int64_t row = begin; row < end; row++) {
      const T *in = x + row * wide, *gradient = dy + row * wide;
      T* out = dx + row * wide;
#pragma omp simd
      for (int64_t j = 0; j < wide; j++) {
        const float value = number(in[j]);
        const float g = rectified && value * scale[j] + shift[j] <= 0 ? 0.f : number(gradient[j]);
        put(out + j, scale[j] * g + (slope[j] * value + level[j]));
      }
    }
  }
}

}  // namespace

#define FOR_TYPE(NAME, T, BITS)                                                                                                          \
  extern "C" void max_pool_##NAME(const T* x, T* y, uint8_t* at, int64_t n, int64_t h, int64_t w, int64_t c, int threads) {              \
    max_pool(x, y, at, n, h, w, c, threads);                                                                                             \
  }                                                                                                                                      \
  extern "C" void max_pool_back_##NAME(const BITS* dy, const uint8_t* at, BITS* dx, int64_t n, int64_t h, int64_t w, int64_t c, int threads) { \
    max_pool_back(dy, at, dx, n, h, w, c, threads);                                                                                      \
  }                                                                                                                                      \
  extern "C" void norm_##NAME(const T* x, const float* weight, const float* bias, float* running_mean, float* running_var,               \
                              float momentum, float eps, T* y, float* mean, float* inverse, int64_t places, int64_t channels,            \
                              int rectified, int threads) {                                                                              \
    norm(x, weight, bias, running_mean, running_var, momentum, eps, y, mean, inverse, places, channels, rectified != 0, threads);        \
  }                                                                                                                                      \
  extern "C" void norm_back_##NAME(const T* dy, const T* x, const float* weight, const float* bias, const float* mean,                   \
                                   const float* inverse, T* dx, float* dweight, float* dbias, int64_t places, int64_t channels,          \
                                   int rectified, int threads) {                                                                         \
    norm_back(dy, x, weight, bias, mean, inverse, dx, dweight, dbias, places, channels, rectified != 0, threads);                        \
  }

FOR_TYPE(float32, float, uint32_t)
FOR_TYPE(bfloat16, bfloat16, uint16_t)
