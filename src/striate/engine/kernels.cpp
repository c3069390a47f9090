// What is left of a training step beside convolutions and products: 2 x 2 max pooling and batch normalization, each with the ReLU after it.
//
// Maps lie channels last, (N, H, W, C), in float32 or bfloat16; sums are float32 over 64 rows, then float64. Each thread has a fixed part of
// the places, so that the same number of threads gives the same bits. `engine/fused.py` calls these functions.

#include <algorithm>
#include <atomic>
#include <cmath>
#include <condition_variable>
#include <cstdint>
#include <cstring>
#include <mutex>
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

// Callers that have a part of a batch each and share sums: each writes its own, waits for the others, and reads all.
//
// A caller can be ahead by one meeting at most, so that two sets of sums are enough.
class Team {
 public:
  Team(int size, int64_t channels) : size(size), stride(1 + 2 * channels), sums(size_t(2) * size * stride) {}

  double* own(int64_t meeting, int rank) { return sums.data() + ((meeting % 2) * size + rank) * stride; }

  bool meet() {  // false where one of them will not come
    const uint64_t before = meetings.load();
    if (arrived.fetch_add(1) + 1 == size) {
      arrived.store(0);
      const std::lock_guard<std::mutex> guard(lock);
      meetings.fetch_add(1);
      changed.notify_all();
      return !broken.load();
    }
    for (int turn = 0; turn < 20000; turn++)  // some tens of microseconds
      if (meetings.load() != before || broken.load()) return meetings.load() != before;
    std::unique_lock<std::mutex> guard(lock);
    changed.wait(guard, [&] { return meetings.load() != before || broken.load(); });
    return meetings.load() != before;
  }

  void give_up() {
    const std::lock_guard<std::mutex> guard(lock);
    broken.store(true);
    changed.notify_all();
  }

  const int size;

 private:
  const int64_t stride;
  std::vector<double> sums;
  std::atomic<int> arrived{0};
  std::atomic<uint64_t> meetings{0};
  std::atomic<bool> broken{false};
  std::mutex lock;
  std::condition_variable changed;
};

// A caller's place in a team, and the number of the meeting; without a team, it is alone.
struct Place {
  Team* team;
  int rank;
  int64_t meeting;
  int callers() const { return team ? team->size : 1; }
};

// y = (x - mean) inverse weight + bias over `places` rows of `channels`, rectified or not; mean and 1 / deviation are given back, those of
// all callers of a team. The first of them moves the running statistics. False where the team was given up.
template <class T>
bool norm(const T* x, const float* weight, const float* bias, float* running_mean, float* running_var, float momentum, float eps, T* y,
          float* mean, float* inverse, double* whole, int64_t places, int64_t channels, bool rectified, int threads, Place place) {
  const int64_t rows_of_one = rows_at_a_time(places, channels), wide = channels * rows_of_one, rows = places / rows_of_one;
  std::vector<double> totals(size_t(threads) * 2 * wide), alone(place.team ? 0 : 1 + 2 * channels);
  std::vector<float> pivots(wide), scales(wide), shifts(wide);
  for (int64_t j = 0; j < wide; j++) pivots[j] = number(x[j % channels]);  // near the mean: squares of small numbers keep their digits
  float *pivot = pivots.data(), *scale = scales.data(), *shift = shifts.data();
  bool met = true;
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
#pragma omp single
    {
      double* own = place.team ? place.team->own(place.meeting, place.rank) : alone.data();  // places, means, sums of squares about them
      own[0] = double(places);
      for (int64_t k = 0; k < channels; k++) {
        const double off = gathered(totals, 0, k, channels, wide, threads) / places;
        own[1 + k] = pivot[k] + off;
        own[1 + channels + k] = gathered(totals, 1, k, channels, wide, threads) - off * off * places;
      }
      met = !place.team || place.team->meet();
      const auto of = [&](int rank) { return place.team ? place.team->own(place.meeting, rank) : own; };
      double all = 0;
      for (int rank = 0; rank < place.callers(); rank++) all += of(rank)[0];
      *whole = all;
      for (int64_t k = 0; k < channels && met; k++) {
        double centre = 0, squares = 0;
        for (int rank = 0; rank < place.callers(); rank++) centre += of(rank)[0] * of(rank)[1 + k] / all;
        for (int rank = 0; rank < place.callers(); rank++) {
          const double off = of(rank)[1 + k] - centre;
          squares += of(rank)[1 + channels + k] + of(rank)[0] * off * off;
        }
        const double variance = squares < 0 ? 0 : squares / all;  // NaN stays NaN
        mean[k] = float(centre), inverse[k] = float(1 / std::sqrt(variance + eps));
        if (place.rank == 0) {
          running_mean[k] += momentum * (mean[k] - running_mean[k]);
          running_var[k] += momentum * (float(variance * all / (all - 1)) - running_var[k]);
        }
        for (int64_t j = k; j < wide; j += channels) scale[j] = weight[k] * inverse[k], shift[j] = bias[k] - mean[k] * weight[k] * inverse[k];
      }
    }
    for (int64_t row = begin; row < end && met; row++) {
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
  return met;
}

// The gradients of `norm` over a batch of `whole` places, those of the parameters for the caller's own part; where the output was not
// positive is computed again, as nothing of it was kept.
template <class T>
bool norm_back(const T* dy, const T* x, const float* weight, const float* bias, const float* mean, const float* inverse, double whole, T* dx,
               float* dweight, float* dbias, int64_t places, int64_t channels, bool rectified, int threads, Place place) {
  const int64_t rows_of_one = rows_at_a_time(places, channels), wide = channels * rows_of_one, rows = places / rows_of_one;
  std::vector<double> totals(size_t(threads) * 2 * wide), alone(place.team ? 0 : 2 * channels);
  std::vector<float> tiles(5 * wide);
  float *centre = tiles.data(), *scale = centre + wide, *shift = scale + wide, *slope = shift + wide, *level = slope + wide;
  for (int64_t j = 0; j < wide; j++) {
    const int64_t k = j % channels;
    centre[j] = mean[k], scale[j] = weight[k] * inverse[k], shift[j] = bias[k] - mean[k] * weight[k] * inverse[k];
  }
  bool met = true;
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
#pragma omp single
    {
      double* own = place.team ? place.team->own(place.meeting, place.rank) : alone.data();
      for (int64_t k = 0; k < channels; k++) {
        own[k] = gathered(totals, 0, k, channels, wide, threads), own[channels + k] = gathered(totals, 1, k, channels, wide, threads);
        dbias[k] = float(own[k]), dweight[k] = float(own[channels + k] * inverse[k]);
      }
      met = !place.team || place.team->meet();
      for (int64_t k = 0; k < channels && met; k++) {
        double sum = 0, product = 0;
        for (int rank = 0; rank < place.callers(); rank++) {
          const double* other = place.team ? place.team->own(place.meeting, rank) : own;
          sum += other[k], product += other[channels + k];
        }
        // dx = scale (g - mean of g - (x - mean) inverse^2 mean of g (x - mean)) = scale g + slope x + level
        const double factor = -double(scale[k]) * inverse[k] * inverse[k] * product / whole;
        for (int64_t j = k; j < wide; j += channels)
          slope[j] = float(factor), level[j] = float(-double(scale[k]) * sum / whole - factor * mean[k]);
      }
    }
    for (int64_t row = begin; row < end && met; row++) {
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
  return met;
}

}  // namespace

extern "C" void* team_new(int size, int64_t channels) { return new Team(size, channels); }
extern "C" void team_give_up(void* team) { static_cast<Team*>(team)->give_up(); }
extern "C" void team_free(void* team) { delete static_cast<Team*>(team); }

#define FOR_TYPE(NAME, T, BITS)                                                                                                          \
  extern "C" void max_pool_##NAME(const T* x, T* y, uint8_t* at, int64_t n, int64_t h, int64_t w, int64_t c, int threads) {              \
    max_pool(x, y, at, n, h, w, c, threads);                                                                                             \
  }                                                                                                                                      \
  extern "C" void max_pool_back_##NAME(const BITS* dy, const uint8_t* at, BITS* dx, int64_t n, int64_t h, int64_t w, int64_t c,          \
                                       int threads) {                                                                                    \
    max_pool_back(dy, at, dx, n, h, w, c, threads);                                                                                      \
  }                                                                                                                                      \
  extern "C" int norm_##NAME(const T* x, const float* weight, const float* bias, float* running_mean, float* running_var,                \
                             float momentum, float eps, T* y, float* mean, float* inverse, double* whole, int64_t places,                \
                             int64_t channels, int rectified, int threads, void* team, int rank, int64_t meeting) {                      \
    return norm(x, weight, bias, running_mean, running_var, momentum, eps, y, mean, inverse, whole, places, channels, rectified != 0,    \
                threads, Place{static_cast<Team*>(team), rank, meeting});                                                                \
  }                                                                                                                                      \
  extern "C" int norm_back_##NAME(const T* dy, const T* x, const float* weight, const float* bias, const float* mean,                    \
                                  const float* inverse, double whole, T* dx, float* dweight, float* dbias, int64_t places,               \
                                  int64_t channels, int rectified, int threads, void* team, int rank, int64_t meeting) {                 \
    return norm_back(dy, x, weight, bias, mean, inverse, whole, dx, dweight, dbias, places, channels, rectified != 0, threads,           \
                     Place{static_cast<Team*>(team), rank, meeting});                                                                    \
  }

FOR_TYPE(float32, float, uint32_t)
FOR_TYPE(bfloat16, bfloat16, uint16_t)
