/* The two-way transformer's passes over the image positions, without ever making the keys.
 *
 * After layer 0 the keys are s1 (C x + A0 U0) g1 + b1, after layer 1 s2 (s1 (C x g1 + A0 U0') + A1 U1) g2 + b2: a part
 * that is the same for every prompt, plus weights A of rank 48 a layer. Scores, values and the variances 1/s^2 are
 * therefore sums over 16 shared features a head and 49 or 98 features of the prompt, not over 256 channels.
 */
#include "kernel.h"
#include "tokens.h"
#include "vector.h"

/* Rows of `image` in a tile: first layer, then second layer. */
enum { I1_QUERIES = 0, I1_CROSS = DIM, I1_KEYS = 2 * DIM, I1_POSITION = 3 * DIM, I1_SQUARE = 4 * DIM, I1_ROWS };
enum {
    I2_QUERIES = 0,
    I2_QUERY_POSITION = DIM,
    I2_CROSS_BEFORE = 2 * DIM,
    I2_CROSS = 3 * DIM,
    I2_KEYS = 4 * DIM,
    I2_POSITION = 5 * DIM,
    I2_SQUARE = 6 * DIM,
    I2_CROSS_CONSTANT,
    I2_ROWS
};

/* Sums over positions of one head of one prompt, kept while tiles go by; p is exp(score - reference). */
typedef struct {
    float reference[ROWS];           /* log2 units; moved up where a score is far above it */
    float totals[ROWS][3][LANES];    /* of p, of p s2, of p s2 s1, not yet added across lanes */
    float shared[ROWS][HEAD_DIM];    /* of p s2 s1 (shared value) */
    float mixed[ROWS][2 * WEIGHTS];  /* of p s2 (s1 A0), then of p s2 A1 */
} Sums;

/* Of one tile and head: scores, then p s2 in their place; and p s2 s1. */
typedef struct {
    float plain[ROWS * TILE], scaled[ROWS * TILE];
} Attended;

static void start(Sums *sums) {
    memset(sums, 0, sizeof *sums);
    EACH(r, ROWS) sums->reference[r] = -1e30f;
}

/* Softmax is the same from any reference; 2^60 above it there is still room for 2^60 positions in float32. */
static void raise_reference(Sums *sums, int row, float score) {
    float down = score - sums->reference[row] > 126 ? 0 : exp2_of(all(sums->reference[row] - score))[0];
    sums->reference[row] = score;
    EACH(i, 3 * LANES) sums->totals[row][0][i] *= down;
    EACH(i, HEAD_DIM) sums->shared[row][i] *= down;
    EACH(i, 2 * WEIGHTS) sums->mixed[row][i] *= down;
}

static void keep_in_range(Sums *sums, const float *scores) {
    vf above = all(-1e30f);
    EACH(r, ROWS) for (int at = 0; at < TILE; at += LANES)
        above = larger(above, load(scores + r * TILE + at) - sums->reference[r]);
    if (largest_of(above) < 30) return;
    EACH(r, ROWS) {
        vf most = load(scores + r * TILE);
        for (int at = LANES; at < TILE; at += LANES) most = larger(most, load(scores + r * TILE + at));
        if (largest_of(most) > sums->reference[r]) raise_reference(sums, r, largest_of(most));
    }
}

/* Turns the scores of a tile into weights. s1, s2: the scales at its positions, or NULL for 1. */
INLINE void attend(Sums *sums, Attended *to, const float *s1, const float *s2) {
    keep_in_range(sums, to->plain);
    EACH(r, ROWS) {
        vf total[3];
        UNROLL EACH(i, 3) total[i] = load(sums->totals[r][i]);
        UNROLL for (int at = 0; at < TILE; at += LANES) {
            vf p = exp2_of(load(to->plain + r * TILE + at) - sums->reference[r]);
            total[0] += p;
            if (s2) p *= load(s2 + at);
            total[1] += p;
            store(to->plain + r * TILE + at, p);
            if (s1) p *= load(s1 + at);
            total[2] += p;
            if (s1) store(to->scaled + r * TILE + at, p);
        }
        UNROLL EACH(i, 3) store(sums->totals[r][i], total[i]);
    }
}

/* out [7][16]: the shared sums and those of the features (s1 A0, s1 [, A1, 1]) times the rows of U through the value
 * projection, divided by the sum of p. rows [2][depth][64]; NULL where there are no features. */
static void finish(const Sums *sums, int head, const float *rows, int depth, float *out) {
    EACH(r, ROWS) {
        float total[3], *row = out + r * HEAD_DIM;
        EACH(i, 3) total[i] = sum_of(load(sums->totals[r][i]));
        EACH(d, HEAD_DIM) row[d] = sums->shared[r][d];
        EACH(i, rows ? depth : 0) {
            const int of_part = i % PART, part = i / PART;
            const float sum = of_part < WEIGHTS ? sums->mixed[r][part * WEIGHTS + of_part] : total[part ? 1 : 2];
            const float *value = rows + ((head >> 2) * depth + i) * TILE + (head & 3) * HEAD_DIM;
            EACH(d, HEAD_DIM) row[d] += sum * value[d];
        }
        EACH(d, HEAD_DIM) row[d] /= total[0];
    }
}

/* Softmax over six scores and a seventh of 0: weights [6][64], in the place where they are kept. */
INLINE void weights_of_scores(vf scores[6][BLOCK], float *weights) {
    UNROLL EACH(v, BLOCK) {
        vf most = all(0);
        UNROLL EACH(r, 6) most = larger(most, scores[r][v]);
        vf total = exp2_of(-most);
        UNROLL EACH(r, 6) total += scores[r][v] = exp2_of(scores[r][v] - most);
        vf share = 1.0f / total;
        UNROLL EACH(r, 6) store(weights + r * TILE + v * LANES, scores[r][v] * share);
    }
}

/* cross[v] += sum over the tokens of weight * (value . image row), the seventh's weight being `constant`. */
INLINE void add_cross(vf cross[BLOCK], const float *values, const float *image, const float *weights, const float *constant) {
    vf products[ROWS][BLOCK] = {0};
    multiply(products, ROWS, values, EIGHT, image, HEAD_DIM);
    UNROLL EACH(v, BLOCK) {
        UNROLL EACH(r, 6) cross[v] += products[r][v] * load(weights + r * TILE + v * LANES);
        cross[v] += constant ? products[6][v] * load(constant + v * LANES) : products[6][v];
    }
}

/* square[v] += f . (G f) for the rows f of the features; G is packed as the upper triangle, seven rows a piece. */
INLINE void add_square(vf square[BLOCK], const float *gram, const float *features, int depth) {
    for (int row = 0; row < depth; row += ROWS) {
        vf sums[ROWS][BLOCK] = {0};
        multiply(sums, ROWS, gram, ROWS, features + row * TILE, depth - row);
        UNROLL EACH(v, BLOCK) UNROLL EACH(r, ROWS) square[v] += sums[r][v] * load(features + (row + r) * TILE + v * LANES);
        gram += (depth - row) * ROWS;
    }
}

/* The weights of a tile with features along the lanes: [48][64] -> [64][48]. */
static void transpose_weights(const float *from, float *to) {
    for (int row = 0; row < WEIGHTS; row += LANES)
        for (int p = 0; p < TILE; p += LANES) {
            vf square[LANES];
            UNROLL EACH(i, LANES) square[i] = load(from + (row + i) * TILE + p);
            transpose(square);
            UNROLL EACH(i, LANES) store(to + (p + i) * WEIGHTS + row, square[i]);
        }
}

void sam_first_look(const FirstLook *look, int32_t first, int32_t count) {
    Sums sums[PROMPTS][HEADS];
    Attended attended;
    EACH(n, count) EACH(h, HEADS) start(&sums[n][h]);
    EACH(tile, look->tiles) EACH(n, count) EACH(h, HEADS) {
        const float *keys = look->keys + (tile * DIM + h * HEAD_DIM) * TILE;
        const float *queries = look->queries + ((first + n) * DIM + h * HEAD_DIM) * EIGHT;
        for (int at = 0; at < TILE; at += BLOCK_WIDTH) {
            vf scores[ROWS][BLOCK] = {0};
            multiply(scores, ROWS, queries, EIGHT, keys + at, HEAD_DIM);
            store_block(attended.plain + at, ROWS, scores);
        }
        attend(&sums[n][h], &attended, 0, 0);
        gather(sums[n][h].shared[0], HEAD_DIM, HEAD_DIM, attended.plain,
               look->values + (tile * HEADS + h) * TILE * HEAD_DIM, HEAD_DIM);
    }
    EACH(n, count) EACH(h, HEADS) finish(&sums[n][h], h, 0, 0, look->out + ((first + n) * HEADS + h) * ROWS * HEAD_DIM);
}

/* The small matrices of one prompt: gram as packed; mixes [head][49 or 98][8], the part of the scores that the features
 * make: of the tokens that attend, and of the positions that attend to tokens in the second layer; values [2][98][64]. */
typedef struct {
    float gram[PACKED(2 * PART)];
    float mix[HEADS * 2 * PART * EIGHT];
    float token_mix[HEADS * PART * EIGHT];
    float values[2 * 2 * PART * TILE];
    float rows[4 * 2 * PART * TILE]; /* room to make them in */
} Matrices;

_Static_assert(PROMPTS * sizeof(Matrices) <= SCRATCH * sizeof(float), "scratch is too small");

/* Weights: key and value (two tiles each), then the output projection transposed (two). */
static void first_matrices(const Layer *layer, int prompt, Matrices *to) {
    const float *values = layer->token_values + prompt * DIM * EIGHT;
    rows_of_values(values, layer->weights, 2, to->rows, 0, PART);
    mix_rows(to->rows, PART, layer->queries + prompt * DIM * EIGHT, to->mix);
    rows_of_values(values, layer->weights + 2 * DIM * TILE, 2, to->values, 0, PART);
    rows_of_values(values, layer->weights + 4 * DIM * TILE, 2, to->rows, 0, PART);
    pack_gram(to->rows, 1, (const float *const[]){values, 0}, to->gram);
}

/* Rows of both layers through weights [tile][128][64] from tile `at` on, the shift added to the last. */
static void rows_of_both(const Layer *layer, int prompt, int at, int tiles, float *rows) {
    const int depth = 2 * PART;
    rows_of_values(layer->token_values_before + prompt * DIM * EIGHT, layer->weights_before + at * DIM * TILE, tiles, rows,
                   0, depth);
    rows_of_values(layer->token_values + prompt * DIM * EIGHT, layer->weights + at * DIM * TILE, tiles, rows, PART, depth);
    EACH(tile, tiles) EACH(i, TILE) rows[(tile * depth + depth - 1) * TILE + i] += layer->shift[(at + tile) * TILE + i];
}

/* Weights: key, value (two tiles each), upscaling (four), the output projections of both layers transposed (two each). */
static void second_matrices(const Layer *layer, int prompt, Matrices *to) {
    const float *before = layer->token_values_before + prompt * DIM * EIGHT;
    const float *values = layer->token_values + prompt * DIM * EIGHT;
    rows_of_values(before, layer->query_weights, 2, to->rows, 0, PART);
    mix_rows(to->rows, PART, layer->token_keys + prompt * DIM * EIGHT, to->token_mix);
    rows_of_both(layer, prompt, 0, 2, to->rows);
    mix_rows(to->rows, 2 * PART, layer->queries + prompt * DIM * EIGHT, to->mix);
    rows_of_both(layer, prompt, 2, 2, to->values);
    rows_of_both(layer, prompt, 4, 4, layer->upscaling + prompt * 4 * 2 * PART * TILE);
    rows_of_both(layer, prompt, 8, 4, to->rows);
    pack_gram(to->rows, 2, (const float *const[]){before, values}, to->gram);
    /* the last row of U is the constant c plus the shift: c . c + shift . c is there, shift . c + shift . shift is not */
    const float *shift = layer->shift + 10 * TILE;
    float missing = layer->shift_square;
    EACH(h, HEADS) EACH(d, HEAD_DIM) missing += shift[h * HEAD_DIM + d] * values[(h * HEAD_DIM + d) * EIGHT + 6];
    to->gram[PACKED(2 * PART) - 1] += missing;
}

/* The tokens attend to one tile: score = s2 (s1 q.Xk + mix.f) + q.(position Wk), f the features, s2 1 in layer 0. */
INLINE void look_at(Sums *sums, const Layer *layer, const Matrices *matrices, int prompt, int tile, const float *keys,
                    const float *position, const float *features, float *const transposed[2], int depth) {
    const float *s1 = features + WEIGHTS * TILE, *s2 = depth > PART ? features + SCALE * TILE : 0;
    Attended attended;
    EACH(h, HEADS) {
        const float *queries = layer->queries + (prompt * DIM + h * HEAD_DIM) * EIGHT;
        const float *mix = matrices->mix + h * depth * EIGHT;
        for (int at = 0; at < TILE; at += BLOCK_WIDTH) {
            vf scores[ROWS][BLOCK] = {0};
            multiply(scores, ROWS, queries, EIGHT, keys + h * HEAD_DIM * TILE + at, HEAD_DIM);
            scale_block(scores, ROWS, s1 + at);
            multiply(scores, ROWS, mix, EIGHT, features + at, depth);
            if (s2) scale_block(scores, ROWS, s2 + at);
            multiply(scores, ROWS, queries, EIGHT, position + h * HEAD_DIM * TILE + at, HEAD_DIM);
            store_block(attended.plain + at, ROWS, scores);
        }
        attend(&sums[h], &attended, s1, s2);
        gather(sums[h].shared[0], HEAD_DIM, HEAD_DIM, attended.scaled,
               layer->values + (tile * HEADS + h) * TILE * HEAD_DIM, HEAD_DIM);
        gather(sums[h].mixed[0], 2 * WEIGHTS, WEIGHTS, attended.plain, transposed[0], WEIGHTS);
        if (s2) gather(sums[h].mixed[0] + WEIGHTS, 2 * WEIGHTS, WEIGHTS, attended.plain, transposed[1], WEIGHTS);
    }
}

/* A0 and s1 of one tile into `features`: A0 = softmax(q . k), 256 / s1^2 = |C x + A0 U0|^2. */
static void first_features(const Layer *layer, const Matrices *matrices, int prompt, const float *image,
                           float *features) {
    float *constant = features + WEIGHTS * TILE;
    const float *keys = layer->token_keys + prompt * DIM * EIGHT;
    const float *values = layer->token_values + prompt * DIM * EIGHT;
    EACH(p, TILE) constant[p] = 1;
    for (int at = 0; at < TILE; at += BLOCK_WIDTH) {
        vf cross[BLOCK] = {0}, square[BLOCK] = {0};
        EACH(h, HEADS) {
            vf scores[6][BLOCK] = {0};
            const int channel = h * HEAD_DIM;
            multiply(scores, 6, keys + channel * EIGHT, EIGHT, image + (I1_QUERIES + channel) * TILE + at, HEAD_DIM);
            weights_of_scores(scores, features + h * 6 * TILE + at);
            add_cross(cross, values + channel * EIGHT, image + (I1_CROSS + channel) * TILE + at,
                      features + h * 6 * TILE + at, 0);
        }
        add_square(square, matrices->gram, features + at, PART);
        UNROLL EACH(v, BLOCK) {
            vf sum = load(image + I1_SQUARE * TILE + at + v * LANES) + 2 * cross[v] + square[v];
            vf s1 = 1.0f / root(sum / 256 + layer->epsilon);
            store(constant + at + v * LANES, s1);
            EACH(i, WEIGHTS) {
                float *weight = features + i * TILE + at + v * LANES;
                store(weight, load(weight) * s1);
            }
        }
    }
}

/* A1 and s2 of one tile into `features`, which hold s1 A0 and s1:
 * 256 / s2^2 = |s1 (C x g1 + A0 U0') + A1 U1|^2, U1's last row with the bias b1 added. */
static void second_features(const Layer *layer, const Matrices *matrices, int prompt, const float *image,
                            float *features) {
    const float *s1 = features + WEIGHTS * TILE;
    float *second = features + SECOND * TILE, *constant = second + WEIGHTS * TILE;
    const int tokens = prompt * DIM * EIGHT;
    EACH(p, TILE) constant[p] = 1;
    for (int at = 0; at < TILE; at += BLOCK_WIDTH) {
        vf cross[BLOCK] = {0}, square[BLOCK] = {0};
        EACH(h, HEADS) {
            const int channel = h * HEAD_DIM;
            const float *keys = layer->token_keys + tokens + channel * EIGHT;
            vf scores[6][BLOCK] = {0};
            multiply(scores, 6, keys, EIGHT, image + (I2_QUERIES + channel) * TILE + at, HEAD_DIM);
            scale_block(scores, 6, s1 + at);
            multiply(scores, 6, matrices->token_mix + h * PART * EIGHT, EIGHT, features + at, PART);
            multiply(scores, 6, keys, EIGHT, image + (I2_QUERY_POSITION + channel) * TILE + at, HEAD_DIM);
            weights_of_scores(scores, second + h * 6 * TILE + at);
            add_cross(cross, layer->token_values_before + tokens + channel * EIGHT,
                      image + (I2_CROSS_BEFORE + channel) * TILE + at, features + h * 6 * TILE + at, s1 + at);
            add_cross(cross, layer->token_values + tokens + channel * EIGHT,
                      image + (I2_CROSS + channel) * TILE + at, second + h * 6 * TILE + at, 0);
        }
        add_square(square, matrices->gram, features + at, 2 * PART);
        UNROLL EACH(v, BLOCK) {
            const float *here = image + at + v * LANES;
            vf scale = load(s1 + at + v * LANES);
            vf shared = scale * load(here + I2_SQUARE * TILE) + 2 * (cross[v] + load(here + I2_CROSS_CONSTANT * TILE));
            vf s2 = 1.0f / root((scale * shared + square[v]) / 256 + layer->epsilon);
            store(features + SCALE * TILE + at + v * LANES, s2);
        }
    }
}

void sam_first_layer(const Layer *layer, int32_t first, int32_t count) {
    Sums sums[PROMPTS][HEADS];
    Matrices *matrices = (Matrices *)layer->scratch;
    float transposed[TILE * WEIGHTS];
    EACH(n, count) first_matrices(layer, first + n, &matrices[n]);
    EACH(n, count) EACH(h, HEADS) start(&sums[n][h]);
    EACH(tile, layer->tiles) EACH(n, count) {
        const float *image = layer->image + tile * I1_ROWS * TILE;
        float *features = layer->features + ((int64_t)(first + n) * layer->tiles + tile) * FEATURES * TILE;
        first_features(layer, &matrices[n], first + n, image, features);
        transpose_weights(features, transposed);
        look_at(sums[n], layer, &matrices[n], first + n, tile, image + I1_KEYS * TILE, image + I1_POSITION * TILE,
                features, (float *const[]){transposed, 0}, PART);
    }
    EACH(n, count) EACH(h, HEADS)
        finish(&sums[n][h], h, matrices[n].values, PART, layer->out + ((first + n) * HEADS + h) * ROWS * HEAD_DIM);
}

void sam_second_layer(const Layer *layer, int32_t first, int32_t count) {
    Sums sums[PROMPTS][HEADS];
    Matrices *matrices = (Matrices *)layer->scratch;
    float transposed[2][TILE * WEIGHTS];
    EACH(n, count) second_matrices(layer, first + n, &matrices[n]);
    EACH(n, count) EACH(h, HEADS) start(&sums[n][h]);
    EACH(tile, layer->tiles) EACH(n, count) {
        const float *image = layer->image + tile * I2_ROWS * TILE;
        float *features = layer->features + ((int64_t)(first + n) * layer->tiles + tile) * FEATURES * TILE;
        second_features(layer, &matrices[n], first + n, image, features);
        transpose_weights(features, transposed[0]);
        transpose_weights(features + SECOND * TILE, transposed[1]);
        look_at(sums[n], layer, &matrices[n], first + n, tile, image + I2_KEYS * TILE, image + I2_POSITION * TILE,
                features, (float *const[]){transposed[0], transposed[1]}, 2 * PART);
    }
    EACH(n, count) EACH(h, HEADS)
        finish(&sums[n][h], h, matrices[n].values, 2 * PART, layer->out + ((first + n) * HEADS + h) * ROWS * HEAD_DIM);
}
