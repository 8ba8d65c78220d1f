/* The two-way transformer's passes over the image positions, which never write the image tokens out.
 *
 * After layer 0 the image tokens are s1 (C x + A0 U0) g1 + b1, after layer 1 s2 (s1 (C x g1 + A0 U0') + A1 U1) g2 + b2:
 * a part that is the same for every prompt, plus weights A of rank 48 a layer. Scores, values and the variances 1/s^2
 * are therefore sums over 16 shared features a head and 49 or 98 features of the prompt, not over 256 channels.
 */
#include "kernel.h"
#include "softmax.h"
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

/* Softmax over six scores and a seventh of 0: six rows of `weights`, each TILE floats long. */
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

/* cross[v] += sum over the tokens of weight * (value . image row); the seventh's weight is `constant`, or 1 if NULL. */
INLINE void add_cross(vf cross[BLOCK], const float *values, const float *image, const float *weights,
                      const float *constant) {
    vf products[ROWS][BLOCK] = {0};
    multiply(products, ROWS, values, EIGHT, image, HEAD_DIM);
    UNROLL EACH(v, BLOCK) {
        UNROLL EACH(r, 6) cross[v] += products[r][v] * load(weights + r * TILE + v * LANES);
        cross[v] += constant ? products[6][v] * load(constant + v * LANES) : products[6][v];
    }
}

/* square[v] += f . (G f), f the features of a position; G is packed as the upper triangle, seven rows a piece. */
INLINE void add_square(vf square[BLOCK], const float *gram, const float *features, int depth) {
    for (int row = 0; row < depth; row += ROWS) {
        vf sums[ROWS][BLOCK] = {0};
        multiply(sums, ROWS, gram, ROWS, features + row * TILE, depth - row);
        UNROLL EACH(v, BLOCK) UNROLL EACH(r, ROWS)
            square[v] += sums[r][v] * load(features + (row + r) * TILE + v * LANES);
        gram += (depth - row) * ROWS;
    }
}

/* The weights of a tile, turned so that features lie along the lanes: [48][64] -> [64][48]. */
static void transpose_weights(const float *from, float *to) {
    for (int row = 0; row < WEIGHTS; row += LANES)
        for (int p = 0; p < TILE; p += LANES) {
            vf square[LANES];
            UNROLL EACH(i, LANES) square[i] = load(from + (row + i) * TILE + p);
            transpose(square);
            UNROLL EACH(i, LANES) store(to + (p + i) * WEIGHTS + row, square[i]);
        }
}

/* One tile for one prompt: rows of the image side, and the features in both layouts. */
typedef struct {
    int prompt, tile;
    const float *keys, *position, *features;
    const float *transposed[2]; /* A0, A1; the latter in the second layer only */
} TileView;

/* The tokens attend to one tile: score = s2 (s1 q.Xk + mix.f) + q.(position Wk). f: the features; s2: 1 in layer 0. */
INLINE void attend_to_tile(Sums *sums, const Layer *layer, const Matrices *matrices, const TileView *view, int depth) {
    const float *features = view->features;
    const float *s1 = features + WEIGHTS * TILE, *s2 = depth > PART ? features + SCALE * TILE : 0;
    Attended attended;
    EACH(h, HEADS) {
        const float *queries = layer->queries + (view->prompt * DIM + h * HEAD_DIM) * EIGHT;
        const float *mix = matrices->mix + h * depth * EIGHT;
        const float *values = layer->values + (view->tile * HEADS + h) * TILE * HEAD_DIM;
        for (int at = 0; at < TILE; at += BLOCK_WIDTH) {
            vf scores[ROWS][BLOCK] = {0};
            multiply(scores, ROWS, queries, EIGHT, view->keys + h * HEAD_DIM * TILE + at, HEAD_DIM);
            scale_block(scores, ROWS, s1 + at);
            multiply(scores, ROWS, mix, EIGHT, features + at, depth);
            if (s2) scale_block(scores, ROWS, s2 + at);
            multiply(scores, ROWS, queries, EIGHT, view->position + h * HEAD_DIM * TILE + at, HEAD_DIM);
            store_block(attended.plain + at, ROWS, scores);
        }
        attend(&sums[h], &attended, s1, s2);
        gather(sums[h].shared[0], HEAD_DIM, HEAD_DIM, attended.scaled, values, HEAD_DIM);
        gather(sums[h].mixed[0], 2 * WEIGHTS, WEIGHTS, attended.plain, view->transposed[0], WEIGHTS);
        if (s2)
            gather(sums[h].mixed[0] + WEIGHTS, 2 * WEIGHTS, WEIGHTS, attended.plain, view->transposed[1], WEIGHTS);
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
 * 256 / s2^2 = |s1 (C x g1 + A0 U0') + A1 U1|^2, where U1's last row includes the bias b1. */
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

/* What a pass keeps for the prompts of a call. */
typedef struct {
    Workspace workspace;
    Matrices matrices[PROMPTS];
    Sums sums[PROMPTS][HEADS];
} Scratch;

_Static_assert(sizeof(Scratch) <= SCRATCH * sizeof(float), "scratch is too small");

static void start_prompts(Scratch *scratch, int count) {
    EACH(n, count) EACH(h, HEADS) start(&scratch->sums[n][h]);
}

static void finish_prompts(const Layer *layer, const Scratch *scratch, int first, int count, int depth) {
    EACH(n, count) EACH(h, HEADS) finish(&scratch->sums[n][h], h, scratch->matrices[n].values, depth,
                                         layer->out + ((first + n) * HEADS + h) * ROWS * HEAD_DIM);
}

static float *features_of(const Layer *layer, int prompt, int tile) {
    return layer->features + ((int64_t)prompt * layer->tiles + tile) * FEATURES * TILE;
}

void sam_first_attention(const FirstAttention *attention, int32_t first, int32_t count) {
    Scratch *scratch = (Scratch *)attention->scratch;
    Attended attended;
    start_prompts(scratch, count);
    EACH(tile, attention->tiles) EACH(n, count) EACH(h, HEADS) {
        const float *keys = attention->keys + (tile * DIM + h * HEAD_DIM) * TILE;
        const float *queries = attention->queries + ((first + n) * DIM + h * HEAD_DIM) * EIGHT;
        Sums *sums = &scratch->sums[n][h];
        for (int at = 0; at < TILE; at += BLOCK_WIDTH) {
            vf scores[ROWS][BLOCK] = {0};
            multiply(scores, ROWS, queries, EIGHT, keys + at, HEAD_DIM);
            store_block(attended.plain + at, ROWS, scores);
        }
        attend(sums, &attended, 0, 0);
        gather(sums->shared[0], HEAD_DIM, HEAD_DIM, attended.plain,
               attention->values + (tile * HEADS + h) * TILE * HEAD_DIM, HEAD_DIM);
    }
    EACH(n, count) EACH(h, HEADS)
        finish(&scratch->sums[n][h], h, 0, 0, attention->out + ((first + n) * HEADS + h) * ROWS * HEAD_DIM);
}

void sam_first_layer(const Layer *layer, int32_t first, int32_t count) {
    Scratch *scratch = (Scratch *)layer->scratch;
    float transposed[TILE * WEIGHTS];
    EACH(n, count) make_first_matrices(layer, first + n, &scratch->matrices[n], &scratch->workspace);
    start_prompts(scratch, count);
    EACH(tile, layer->tiles) EACH(n, count) {
        const float *image = layer->image + tile * I1_ROWS * TILE;
        float *features = features_of(layer, first + n, tile);
        const TileView view = {first + n,
                           tile,
                           image + I1_KEYS * TILE,
                           image + I1_POSITION * TILE,
                           features,
                           {transposed, 0}};
        first_features(layer, &scratch->matrices[n], first + n, image, features);
        transpose_weights(features, transposed);
        attend_to_tile(scratch->sums[n], layer, &scratch->matrices[n], &view, PART);
    }
    finish_prompts(layer, scratch, first, count, PART);
}

void sam_second_layer(const Layer *layer, int32_t first, int32_t count) {
    Scratch *scratch = (Scratch *)layer->scratch;
    float transposed[2][TILE * WEIGHTS];
    EACH(n, count) make_second_matrices(layer, first + n, &scratch->matrices[n], &scratch->workspace);
    start_prompts(scratch, count);
    EACH(tile, layer->tiles) EACH(n, count) {
        const float *image = layer->image + tile * I2_ROWS * TILE;
        float *features = features_of(layer, first + n, tile);
        const TileView view = {first + n,
                           tile,
                           image + I2_KEYS * TILE,
                           image + I2_POSITION * TILE,
                           features,
                           {transposed[0], transposed[1]}};
        second_features(layer, &scratch->matrices[n], first + n, image, features);
        transpose_weights(features, transposed[0]);
        transpose_weights(features + SECOND * TILE, transposed[1]);
        attend_to_tile(scratch->sums[n], layer, &scratch->matrices[n], &view, 2 * PART);
    }
    finish_prompts(layer, scratch, first, count, 2 * PART);
}
