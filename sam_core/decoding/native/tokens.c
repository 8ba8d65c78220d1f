#include "tokens.h"

#include "kernel.h"
#include "vector.h"

typedef float eight __attribute__((vector_size(4 * EIGHT), aligned(4), may_alias));

/* rows [tile][depth][64], from row `first` on: the 49 rows of a layer through weights [tile][128][64]. */
static void rows_of_values(const float *values, const float *weights, int tiles, float *rows, int first, int depth) {
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

/* mix [head][depth][8]: rows [2][depth][64] of a head times vectors [head][16][8]. */
static void mix_rows(const float *rows, int depth, const float *vectors, float *mix) {
    EACH(h, HEADS) EACH(row, depth) {
        const float *of_head = rows + ((h >> 2) * depth + row) * TILE + (h & 3) * HEAD_DIM;
        eight sum = {0};
        UNROLL EACH(d, HEAD_DIM) sum += of_head[d] * *(const eight *)(vectors + (h * HEAD_DIM + d) * EIGHT);
        *(eight *)(mix + (h * depth + row) * EIGHT) = sum;
    }
}

/* gram from the layers' values and `rows`: U times the transposed output projections, 128 columns a layer. */
static void pack_gram(const float *rows, int layers, const float *const values[2], float *gram) {
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

/* Weights: key and value (two tiles each), then the output projection transposed (two). */
void make_first_matrices(const Layer *layer, int prompt, Matrices *to, Workspace *workspace) {
    const float *values = layer->token_values + prompt * DIM * EIGHT;
    rows_of_values(values, layer->weights, 2, workspace->rows, 0, PART);
    mix_rows(workspace->rows, PART, layer->queries + prompt * DIM * EIGHT, to->mix);
    rows_of_values(values, layer->weights + 2 * DIM * TILE, 2, to->values, 0, PART);
    rows_of_values(values, layer->weights + 4 * DIM * TILE, 2, workspace->rows, 0, PART);
    pack_gram(workspace->rows, 1, (const float *const[]){values, 0}, to->gram);
}

/* Rows of both layers through weights [tile][128][64] from tile `at` on, the shift added to the last. */
static void rows_of_both(const Layer *layer, int prompt, int at, int tiles, float *rows) {
    const int depth = 2 * PART, tokens = prompt * DIM * EIGHT, skipped = at * DIM * TILE;
    rows_of_values(layer->token_values_before + tokens, layer->weights_before + skipped, tiles, rows, 0, depth);
    rows_of_values(layer->token_values + tokens, layer->weights + skipped, tiles, rows, PART, depth);
    EACH(tile, tiles) EACH(i, TILE) rows[(tile * depth + depth - 1) * TILE + i] += layer->shift[(at + tile) * TILE + i];
}

/* Weights: key, value (two tiles each), upscaling (four), the output projections of both layers transposed. */
void make_second_matrices(const Layer *layer, int prompt, Matrices *to, Workspace *workspace) {
    const float *before = layer->token_values_before + prompt * DIM * EIGHT;
    const float *values = layer->token_values + prompt * DIM * EIGHT;
    rows_of_values(before, layer->query_weights, 2, workspace->rows, 0, PART);
    mix_rows(workspace->rows, PART, layer->token_keys + prompt * DIM * EIGHT, to->token_mix);
    rows_of_both(layer, prompt, 0, 2, workspace->rows);
    mix_rows(workspace->rows, 2 * PART, layer->queries + prompt * DIM * EIGHT, to->mix);
    rows_of_both(layer, prompt, 2, 2, to->values);
    rows_of_both(layer, prompt, 4, 4, layer->upscaling + prompt * 4 * 2 * PART * TILE);
    rows_of_both(layer, prompt, 8, 4, workspace->rows);
    pack_gram(workspace->rows, 2, (const float *const[]){before, values}, to->gram);
    /* the last row of U is a constant c plus the shift; its square still lacks shift . c and shift . shift */
    const float *shift = layer->shift + 10 * TILE;
    float missing = layer->shift_square;
    EACH(h, HEADS) EACH(d, HEAD_DIM) missing += shift[h * HEAD_DIM + d] * values[(h * HEAD_DIM + d) * EIGHT + 6];
    to->gram[PACKED(2 * PART) - 1] += missing;
}
