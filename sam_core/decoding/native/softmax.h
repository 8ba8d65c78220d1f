/* Softmax over the image positions, a tile at a time: sums of p = exp(score - reference) and of what p weighs.
 *
 * The reference is raised when a score is far above it; until then no sum is scaled again.
 */
#ifndef SAM_SOFTMAX_H
#define SAM_SOFTMAX_H

#include "kernel.h"
#include "vector.h"

/* Sums over the positions so far, of one head of one prompt; p is exp(score - reference). */
typedef struct {
    float reference[ROWS];           /* log2 units; raised when a score is far above it */
    float totals[ROWS][3][LANES];    /* of p, of p s2, of p s2 s1, not yet added across lanes */
    float shared[ROWS][HEAD_DIM];    /* of p s2 s1 (shared value) */
    float mixed[ROWS][2 * WEIGHTS];  /* of p s2 (s1 A0), then of p s2 A1 */
} Sums;

/* Of one tile and head: the scores, which p s2 replaces; and p s2 s1. */
typedef struct {
    float plain[ROWS * TILE], scaled[ROWS * TILE];
} Attended;

static void start(Sums *sums) {
    memset(sums, 0, sizeof *sums);
    EACH(r, ROWS) sums->reference[r] = -1e30f;
}

/* Softmax is the same for any reference: sums made with the old one are scaled to the new. */
static void raise_reference(Sums *sums, int row, float score) {
    float down = score - sums->reference[row] > 126 ? 0 : exp2_of(all(sums->reference[row] - score))[0];
    sums->reference[row] = score;
    EACH(i, 3) EACH(lane, LANES) sums->totals[row][i][lane] *= down;
    EACH(i, HEAD_DIM) sums->shared[row][i] *= down;
    EACH(i, 2 * WEIGHTS) sums->mixed[row][i] *= down;
}

/* Allows scores 30 above the reference: 2^30 for each of 4096 positions is far below float32's largest number. */
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
 * projection, divided by the sum of p. rows: [2][depth][64], or NULL if there are no features. */
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

#endif
