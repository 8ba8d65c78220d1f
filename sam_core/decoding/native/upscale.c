/* From the features of the image positions to the logits of the masks.
 *
 * Both transposed convolutions have stride 2 and a 2x2 kernel: each is a product of a position's channels with a
 * matrix of four times as many outputs. The first takes the low-rank features (98 wide) and adds the shared part; its
 * weights are centred (image_side.py), so that LayerNorm2d needs no mean. A tile stays in L1 from there to the logits.
 */
#include "kernel.h"
#include "vector.h"

enum { HIDDEN = 64, OUTPUTS = 32, RECORD = 4 /* rows of a block of sums */ };

/* Channels [64][64] of one of the four sub-positions: s2 (s1 X + U.f) + bias, normalised, then GELU. */
static void first_convolution(const Upscaling *up, const float *image, const float *features, const float *upscaling,
                              const float *bias, float *channels) {
    const float *s1 = features + WEIGHTS * TILE, *s2 = features + SCALE * TILE;
    for (int at = 0; at < TILE; at += BLOCK_WIDTH) {
        vf square[BLOCK] = {0};
        for (int c = 0; c < HIDDEN; c += RECORD) {
            vf sums[RECORD][BLOCK];
            UNROLL EACH(r, RECORD) UNROLL EACH(v, BLOCK) sums[r][v] = load(image + (c + r) * TILE + at + v * LANES);
            scale_block(sums, RECORD, s1 + at);
            multiply(sums, RECORD, upscaling + c, TILE, features + at, SCALE);
            scale_block(sums, RECORD, s2 + at);
            UNROLL EACH(r, RECORD) UNROLL EACH(v, BLOCK) {
                sums[r][v] += bias[c + r];
                square[v] += sums[r][v] * sums[r][v];
            }
            store_block(channels + c * TILE + at, RECORD, sums);
        }
        UNROLL EACH(v, BLOCK) square[v] = 1.0f / root(square[v] / HIDDEN + up->epsilon);
        EACH(c, HIDDEN) UNROLL EACH(v, BLOCK) {
            float *channel = channels + c * TILE + at + v * LANES;
            store(channel, load(channel) * (square[v] * up->norm_weight[c]) + up->norm_bias[c]);
        }
    }
    for (int i = 0; i < HIDDEN * TILE; i += 4 * LANES) {
        vf x[4];
        UNROLL EACH(k, 4) x[k] = load(channels + i + k * LANES);
        gelu_of_four(&x[0], &x[1], &x[2], &x[3]);
        UNROLL EACH(k, 4) store(channels + i + k * LANES, x[k]);
    }
}

/* pixels [mask][64] of one of the four sub-positions of the second convolution: hyper . GELU(W channels + bias). */
INLINE void second_convolution(const Upscaling *up, const float *channels, const float *weights, const float *hyper,
                               int masks, float *const pixels[]) {
    for (int at = 0; at < TILE; at += BLOCK_WIDTH) {
        vf logits[3][BLOCK] = {0};
        for (int c = 0; c < OUTPUTS; c += RECORD) {
            vf sums[RECORD][BLOCK];
            UNROLL EACH(r, RECORD) UNROLL EACH(v, BLOCK) sums[r][v] = all(up->second_bias[c + r]);
            multiply(sums, RECORD, weights + c * HIDDEN, RECORD, channels + at, HIDDEN);
            UNROLL EACH(v, BLOCK) gelu_of_four(&sums[0][v], &sums[1][v], &sums[2][v], &sums[3][v]);
            UNROLL EACH(m, masks) UNROLL EACH(r, RECORD) UNROLL EACH(v, BLOCK)
                logits[m][v] += hyper[m * OUTPUTS + c + r] * sums[r][v];
        }
        EACH(m, masks) UNROLL EACH(v, BLOCK) store(pixels[m] + at + v * LANES, logits[m][v]);
    }
}

INLINE void upscale_tile(const Upscaling *up, int tile, const float *features, const float *upscaling,
                         const float *hyper, int masks, float pixels[3][4][4][TILE]) {
    float channels[HIDDEN * TILE];
    EACH(a, 4) { /* a, b: sub-positions, 2 y + x, of the two convolutions */
        const float *image = up->image + (int64_t)(tile * 4 + a) * HIDDEN * TILE;
        first_convolution(up, image, features, upscaling + a * SCALE * TILE, up->bias + a * HIDDEN, channels);
        EACH(b, 4) {
            const int row = (a >> 1) * 2 + (b >> 1), column = (a & 1) * 2 + (b & 1);
            float *const to[3] = {pixels[0][row][column], pixels[1][row][column], pixels[2][row][column]};
            second_convolution(up, channels, up->second + b * OUTPUTS * HIDDEN, hyper, masks, to);
        }
    }
}

void sam_logits(const Upscaling *up, const float *features, const float *upscaling, const float *hyper, int32_t masks,
                float *logits) {
    float pixels[3][4][4][TILE];
    const int64_t plane = (int64_t)up->tiles * TILE * 4;
    EACH(tile, up->tiles) {
        const float *of_tile = features + (int64_t)tile * FEATURES * TILE;
        if (masks == 1) upscale_tile(up, tile, of_tile, upscaling, hyper, 1, pixels);
        if (masks == 2) upscale_tile(up, tile, of_tile, upscaling, hyper, 2, pixels);
        if (masks == 3) upscale_tile(up, tile, of_tile, upscaling, hyper, 3, pixels);
        EACH(m, masks) EACH(row, 4) {
            float *line = logits + (m * 4 + row) * plane + tile * TILE * 4;
            EACH(p, TILE) EACH(column, 4) line[4 * p + column] = pixels[m][row][column][p];
        }
    }
}
