/* The functions that Python calls: four passes over the image positions of a crop, and one to measure masks.
 *
 * Letters in the comments: x is the crop's embedding, C subtracts the mean over the channels, g and b are weight and
 * bias of a LayerNorm, A0 and A1 the weights with which the image positions attend to the tokens in the first and
 * second layer, U0 and U1 the values they weigh. attention.c has the formulas; structs.py mirrors these structs, with
 * the type and shape of every array.
 *
 * Arrays over positions are cut into tiles: [tile][feature][64], or [tile][head][64][16] if features lie along the
 * lanes ("values").
 */
#ifndef SAM_KERNEL_H
#define SAM_KERNEL_H

#include <stdint.h>

enum {
    HEADS = 8,
    HEAD_DIM = 16,
    DIM = HEADS * HEAD_DIM,
    WEIGHTS = HEADS * 6, /* attention to 7 tokens sums to 1 in each head: six weights are enough */
    PART = WEIGHTS + 1,  /* features of one layer: its weights, then the constant */
    /* rows of a tile of features: s1 A0, s1 | A1, 1 | s2 */
    SECOND = PART,
    SCALE = 2 * PART,
    FEATURES = SCALE + 1,
    PROMPTS = 8, /* at most in one call: they share a tile while it is in cache */
    SCRATCH = (25 + PROMPTS * 37) * 1024 /* floats */
};

/* Per-token arrays of a prompt are [head][16][8], a token a column; the eighth is not used. "Differences" are six
 * tokens less the seventh, then the seventh itself. Queries and keys are multiplied by log2(e) / 4. */

/* Layer 0, tokens to image. out [prompt][head][7][16] = softmax over positions of (q . k) times v. */
typedef struct {
    int32_t tiles;
    const float *keys;    /* [tile][128][64] */
    const float *values;  /* [tile][head][64][16] */
    const float *queries; /* [prompt] */
    float *scratch;       /* SCRATCH floats, as in Layer */
    float *out;
} FirstAttention;

/* A layer's attention of image to tokens, its LayerNorm, then the next attention of tokens to image. The values of the
 * layer's tokens are multiplied by the weights, in tiles of 64 outputs, [tile][128][64]; order: tokens.c. */
typedef struct {
    int32_t tiles;
    float epsilon;                    /* of the LayerNorm */
    const float *image;               /* [tile][rows of the pass][64], see attention.c */
    const float *values;              /* [tile][head][64][16] */
    const float *queries;             /* [prompt], of the tokens that attend next */
    const float *token_keys;          /* [prompt] differences */
    const float *token_values;        /* [prompt] differences */
    const float *token_values_before; /* the same of layer 0; the second layer alone uses this and the next four */
    const float *weights_before;
    const float *query_weights;       /* values of layer 0 to the queries of the positions */
    const float *shift;               /* [outputs], what layer 1 adds at every position, through the same weights */
    float shift_square;
    const float *weights;
    float *scratch;                   /* SCRATCH floats */
    float *upscaling;                 /* [prompt][4][98][64], for the second layer only */
    float *features;                  /* [prompt][tile][FEATURES][64] */
    float *out;                       /* [prompt][head][7][16] */
} Layer;

/* Upscaling of one prompt and its 1 to 3 masks. logits: [mask][4 sub-rows][64 * tiles * 4 sub-columns] */
typedef struct {
    int32_t tiles;            /* those that show the crop */
    float epsilon;            /* of LayerNorm2d */
    const float *image;       /* [tile][256][64] */
    const float *bias;        /* [256] */
    const float *norm_weight; /* [64] */
    const float *norm_bias;   /* [64] */
    const float *second;      /* [4 sub-positions][8 blocks][64][4] */
    const float *second_bias; /* [32] */
} Upscaling;

/* From logits to pixels, and the thresholds. */
typedef struct {
    int32_t height, width;          /* of the crop, pixels */
    int32_t padded_height;          /* a multiple of 64 */
    int32_t columns;                /* of the logits */
    int64_t plane;                  /* floats from one sub-row of the logits to the next */
    const int32_t *row_first, *column_first; /* first of the three neighbouring logits of a pixel */
    const float *row_weights, *column_weights; /* [pixel][3] */
    float threshold, offset, min_stability;
} Cut;

typedef struct {
    int64_t over_high, over_low, area, run_count; /* run_count -1: stability below min_stability */
    int64_t x0, y0, x1, y1;
} Measure;

int32_t sam_sources(void); /* digest of sources.py at the build */
void sam_first_attention(const FirstAttention *attention, int32_t first, int32_t count);
void sam_first_layer(const Layer *layer, int32_t first, int32_t count);
void sam_second_layer(const Layer *layer, int32_t first, int32_t count);
void sam_logits(const Upscaling *up, const float *features, const float *upscaling, const float *hyper, int32_t masks,
                float *logits);
void sam_measure(const Cut *cut, const float *logits, float *columns, uint64_t *bits, Measure *measure,
                 uint32_t *runs);

#endif
