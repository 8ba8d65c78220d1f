/* The small matrices of a prompt, made from its tokens before a pass runs over the image positions.
 *
 * U holds what the tokens add to a position that attends to them: for each layer 48 differences (head, token) and a
 * constant row. A projection of U is made from the tokens' values directly, 16 products an entry.
 */
#ifndef SAM_TOKENS_H
#define SAM_TOKENS_H

#include "kernel.h"

/* Floats of a packed triangle: rows in pieces of seven, each from its own diagonal on. */
#define PACKED(depth) (7 * ((depth) / 7 + 1) * (depth) / 2)

/* What a pass multiplies the features of the positions with. Rows of U are [2][depth][64], a tile for four heads;
 * mixes are those rows times the vectors of some tokens, [head][depth][8]. */
typedef struct {
    float gram[PACKED(2 * PART)];       /* rows of U with one another: upper triangle, off-diagonals doubled */
    float mix[HEADS * 2 * PART * 8];    /* with the queries of the tokens that attend next */
    float token_mix[HEADS * PART * 8];  /* with the keys of the tokens that positions attend to, second layer only */
    float values[2 * 2 * PART * 64];    /* rows, through the value projection */
} Matrices;

/* Memory for intermediate rows. */
typedef struct {
    float rows[4 * 2 * PART * 64];
} Workspace;

void make_first_matrices(const Layer *layer, int prompt, Matrices *to, Workspace *workspace);
void make_second_matrices(const Layer *layer, int prompt, Matrices *to, Workspace *workspace);

#endif
