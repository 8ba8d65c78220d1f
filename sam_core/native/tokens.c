#include "tokens.h"

#include "kernel.h"
#include "vector.h"

typedef float eight __attribute__((vector_size(4 * EIGHT), aligned(4), may_alias));

void rows_of_values(const float *values, const float *weights, int tiles, float *rows, int first, int depth) {
    EACH(tile, tiles) for (int at = 0; at < TILE; at += BLOCK_WIDTH) {
        float *to = rows + (tile * depth + first) * TILE + at;
        vf constant[BLOCK] = {0};
        EACH(h, HEADS) {
            vf sums[ROWS][BLOCK] = {0};
            const float *weight = weights + (tile * DIM + h * HEAD_DIM) * TILE + at;
            multiply(sums, ROWS, values + h * HEAD_DIM * EIGHT, EIGHT, weight, HEAD_DIM);
            store_block(to + h * 6 * TILE, 6, sums);
            UNROLL EACH(v, BLOCK) constant[v] += sums[6][v];
        }
        UNROLL EACH(v, BLOCK) store(to + WEIGHTS * TILE + v * LANES, constant[v]);
    }
}

void mix_rows(const float *rows, int depth, const float *vectors, float *mix) {
    EACH(h, HEADS) EACH(row, depth) {
        const float *of_head = rows + ((h >> 2) * depth + row) * TILE + (h & 3) * HEAD_DIM;
        eight sum = {0};
        UNROLL EACH(d, HEAD_DIM) sum += of_head[d] * *(const eight *)(vectors + (h * HEAD_DIM + d) * EIGHT);
        *(eight *)(mix + (h * depth + row) * EIGHT) = sum;
    }
}

void pack_gram(const float *rows, int layers, const float *const values[2], float *gram) {
    const int depth = layers * PART;
    float full[2 * PART][2 * PART], mix[HEADS * 2 * PART * EIGHT];
    EACH(layer, layers) {
        mix_rows(rows + layer * 2 * depth * TILE, depth, values[layer], mix);
        EACH(row, depth) {
            float constant = 0;
            EACH(h, HEADS) {
                const float *products = mix + (h * depth + row) * EIGHT;
                EACH(t, 6) full[row][layer * PART + h * 6 + t] = products[t];
                constant += products[6];
            }
            full[row][layer * PART + WEIGHTS] = constant;
        }
    }
    for (int piece = 0; piece < depth; piece += ROWS)
        for (int k = piece; k < depth; k++) EACH(r, ROWS) {
            const int row = piece + r;
            *gram++ = k < row ? 0 : k == row ? full[k][k] : 2 * full[k][row];
        }
}
