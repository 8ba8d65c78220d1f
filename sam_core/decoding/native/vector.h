/* Vectors of one machine register, and the small pieces of arithmetic that every pass is made of.
 *
 * Clang's vector extensions replace intrinsics: one source serves AVX-512, AVX2 and NEON. A tile is 64 positions of
 * the image (64 floats in a row of a tile-shaped array). A block is a number of vectors of a tile that leaves enough
 * registers for seven rows of sums.
 */
#ifndef SAM_VECTOR_H
#define SAM_VECTOR_H

#include <stdint.h>
#include <string.h>

#if defined(__AVX512F__)
#define LANES 16
#define BLOCK 4 /* 32 registers: 7 x 4 sums */
#define CHUNK 3 /* 7 x 3 sums: 48 features are one chunk */
#elif defined(__AVX2__)
#define LANES 8
#define BLOCK 1 /* 16 registers: 7 sums, and as many loads a step as sums */
#define CHUNK 1
#else
#define LANES 4
#define BLOCK 4
#define CHUNK 3
#endif

#define TILE 64 /* positions */
#define ROWS 7  /* tokens of a prompt: IoU, four masks, point, padding point */
#define BLOCK_WIDTH (BLOCK * LANES)
#define EIGHT 8 /* tokens as arrays have them: the last is not used */

#define INLINE static inline __attribute__((always_inline))
#define UNROLL _Pragma("clang loop unroll(full)")
#define EACH(i, n) for (int i = 0; i < (n); i++)

typedef float vf __attribute__((vector_size(4 * LANES)));
typedef int32_t vi __attribute__((vector_size(4 * LANES)));
typedef float vf_anywhere __attribute__((vector_size(4 * LANES), aligned(4), may_alias));

INLINE vf load(const float *from) { return *(const vf_anywhere *)from; }
INLINE void store(float *to, vf x) { *(vf_anywhere *)to = x; }
INLINE vf all(float x) { return (vf){0} + x; }
INLINE vf larger(vf a, vf b) { return __builtin_elementwise_max(a, b); }
INLINE vf smaller(vf a, vf b) { return __builtin_elementwise_min(a, b); }
INLINE vf root(vf x) { return __builtin_elementwise_sqrt(x); }

INLINE float sum_of(vf x) {
    float sum = 0;
    UNROLL EACH(i, LANES) sum += x[i];
    return sum;
}

INLINE float largest_of(vf x) {
    float largest = x[0];
    UNROLL EACH(i, LANES) largest = x[i] > largest ? x[i] : largest;
    return largest;
}

/* 2^x, relative error 2e-9 plus rounding; below 2^-126 it is 2^-126, which softmax treats as 0.
 * x = n + r with |r| <= 1/2: adding 1.5 * 2^23 rounds to n in the low mantissa bits, and n goes into the exponent
 * of the polynomial. The coefficients are a least-maximum fit of 2^r. */
INLINE vf exp2_of(vf x) {
    const float round = 12582912.0f; /* 1.5 * 2^23 */
    x = larger(x, all(-126.0f));
    vf shifted = x + round;
    vf r = x - (shifted - round);
    vf power = all(1.53533616e-4f);
    power = power * r + 1.33988744e-3f;
    power = power * r + 9.61843736e-3f;
    power = power * r + 5.55033247e-2f;
    power = power * r + 2.40226479e-1f;
    power = power * r + 6.93147203e-1f;
    power = power * r + 1.0f;
    return (vf)((vi)power + ((vi)shifted << 23));
}

/* Phi(x) - 1/2 as numerator / denominator: x P(x^2) / Q(x^2), a rational fit of erf on |x| <= 5.5 (beyond, it is
 * 1/2 in float32). x times it has an absolute error of 2e-8, plus rounding. 1 <= Q < 256. */
INLINE void normal_integral(vf x, vf *numerator, vf *denominator) {
    x = smaller(larger(x, all(-5.5f)), all(5.5f));
    vf t = x * x;
    vf p = all(2.2215970e-8f), q = all(1.1953999e-6f);
    p = p * t + 6.5307504e-6f;
    q = q * t + 7.8610414e-5f;
    p = p * t + 1.8285845e-4f;
    q = q * t + 1.9624359e-3f;
    p = p * t + 4.7616181e-3f;
    q = q * t + 2.9398708e-2f;
    p = p * t + 3.5142347e-2f;
    q = q * t + 2.5475240e-1f;
    p = p * t + 3.9894199e-1f;
    *numerator = p * x;
    *denominator = q * t + 1.0f;
}

/* GELU, x Phi(x), of four vectors in place. A division costs as much as the rest of one: four share it. */
INLINE void gelu_of_four(vf *a, vf *b, vf *c, vf *d) {
    vf *x[4] = {a, b, c, d}, p[4], q[4];
    UNROLL EACH(i, 4) normal_integral(*x[i], &p[i], &q[i]);
    vf ab = q[0] * q[1], cd = q[2] * q[3];
    vf inverse = 1.0f / (ab * cd);
    vf inverse_ab = inverse * cd, inverse_cd = inverse * ab;
    *a *= 0.5f + p[0] * (inverse_ab * q[1]);
    *b *= 0.5f + p[1] * (inverse_ab * q[0]);
    *c *= 0.5f + p[2] * (inverse_cd * q[3]);
    *d *= 0.5f + p[3] * (inverse_cd * q[2]);
}

/* sums[r][v] += sum over k of weights[k][r] * features[k][v], for one block of a tile: the positions lie along the
 * lanes; `stride` floats lie between two k of the weights. `rows` is a constant once it is inlined, so that the sums
 * stay in registers. Seven rows and a broadcast would need more than the 32 of AVX-512: they go as four and three. */
INLINE void multiply(vf sums[][BLOCK], int rows, const float *weights, int stride, const float *features, int depth) {
    const int now = BLOCK == 4 && rows > 6 ? 4 : rows;
    EACH(k, depth) {
        vf feature[BLOCK];
        UNROLL EACH(v, BLOCK) feature[v] = load(features + k * TILE + v * LANES);
        UNROLL EACH(r, now) UNROLL EACH(v, BLOCK) sums[r][v] += weights[k * stride + r] * feature[v];
    }
    if (now == rows) return;
    EACH(k, depth) {
        vf feature[BLOCK];
        UNROLL EACH(v, BLOCK) feature[v] = load(features + k * TILE + v * LANES);
        UNROLL for (int r = 4; r < rows; r++) UNROLL EACH(v, BLOCK) sums[r][v] += weights[k * stride + r] * feature[v];
    }
}

INLINE void scale_block(vf sums[][BLOCK], int rows, const float *scale) {
    UNROLL EACH(v, BLOCK) {
        vf s = load(scale + v * LANES);
        UNROLL EACH(r, rows) sums[r][v] *= s;
    }
}

INLINE void store_block(float *to, int rows, vf sums[][BLOCK]) {
    UNROLL EACH(r, rows) UNROLL EACH(v, BLOCK) store(to + r * TILE + v * LANES, sums[r][v]);
}

INLINE void gather_chunk(float *sums, int stride, const float *weights, const float *features, int width, int vectors) {
    vf total[ROWS][CHUNK];
    UNROLL EACH(r, ROWS) UNROLL EACH(v, vectors) total[r][v] = load(sums + r * stride + v * LANES);
    EACH(p, TILE) {
        vf feature[CHUNK];
        UNROLL EACH(v, vectors) feature[v] = load(features + p * width + v * LANES);
        UNROLL EACH(r, ROWS) UNROLL EACH(v, vectors) total[r][v] += weights[r * TILE + p] * feature[v];
    }
    UNROLL EACH(r, ROWS) UNROLL EACH(v, vectors) store(sums + r * stride + v * LANES, total[r][v]);
}

/* sums[r][v] += sum over the positions p of a tile of weights[r][p] * features[p][v], for `count` features (a
 * multiple of LANES). Here the features lie along the lanes. The last chunk may be smaller; it has a call of its own,
 * so that each call's size is a constant and its sums stay in registers. */
INLINE void gather(float *sums, int stride, int count, const float *weights, const float *features, int width) {
    const int rest = count % (CHUNK * LANES), whole = count - rest;
    for (int f = 0; f < whole; f += CHUNK * LANES) gather_chunk(sums + f, stride, weights, features + f, width, CHUNK);
    if (rest) gather_chunk(sums + whole, stride, weights, features + whole, width, rest / LANES);
}

/* Exchanges lane j of row i with lane i of row j: with w of 1, 2, 4, ... each pair of rows w apart swaps the lanes
 * that differ in bit w. */
#define LOW(j, w) ((j) & (w) ? LANES + (j) - (w) : (j))
#define HIGH(j, w) ((j) & (w) ? LANES + (j) : (j) + (w))
#if LANES == 16
#define EVERY_LANE(f, w) f(0, w), f(1, w), f(2, w), f(3, w), f(4, w), f(5, w), f(6, w), f(7, w), \
                         f(8, w), f(9, w), f(10, w), f(11, w), f(12, w), f(13, w), f(14, w), f(15, w)
#elif LANES == 8
#define EVERY_LANE(f, w) f(0, w), f(1, w), f(2, w), f(3, w), f(4, w), f(5, w), f(6, w), f(7, w)
#else
#define EVERY_LANE(f, w) f(0, w), f(1, w), f(2, w), f(3, w)
#endif
#define EXCHANGE(w)                                                               \
    UNROLL EACH(i, LANES) if (!(i & (w))) {                                       \
        vf a = rows[i], b = rows[i + (w)];                                        \
        rows[i] = __builtin_shufflevector(a, b, EVERY_LANE(LOW, w));              \
        rows[i + (w)] = __builtin_shufflevector(a, b, EVERY_LANE(HIGH, w));       \
    }

INLINE void transpose(vf rows[LANES]) {
    EXCHANGE(1)
    EXCHANGE(2)
#if LANES >= 8
    EXCHANGE(4)
#endif
#if LANES >= 16
    EXCHANGE(8)
#endif
}

#endif
