/* The small matrices of a prompt, made from its tokens before a pass runs over the image positions.
 *
 * U holds what the tokens add to a position that attends to them: 48 differences (head, token) and a constant row, of
 * each layer. A projection of U is made from the tokens' values directly, 16 products an entry.
 */
#ifndef SAM_TOKENS_H
#define SAM_TOKENS_H

#include "kernel.h"

/* Floats of a packed triangle: rows in pieces of seven, each from its own diagonal on. */
#define PACKED(depth) (7 * ((depth) / 7 + 1) * (depth) / 2)

/* What a pass multiplies the features of the positions with. Rows [2][depth][64] are those of U, a tile for four heads;
 * mixes [head][depth][8] are rows times the vectors of some tokens. */
typedef struct {
    float gram[PACKED(2 * PART)];       /* rows of U with one another: upper triangle, off-diagonals doubled */
    float mix[HEADS * 2 * PART * 8];    /* with the queries of the tokens that attend next */
    float token_mix[HEADS * PART * 8];  /* with the keys of the tokens that positions attend to, second layer only */
    float values[2 * 2 * PART * 64];    /* rows, through the value projection */
} Matrices;

/* Room to make them in. */
typedef struct {
    float rows[4 * 2 * PART * 64];
} Room;

void make_first_matrices(const Layer *layer, int prompt, Matrices *to, Room *room);
void make_second_matrices(const Layer *layer, int prompt, Matrices *to, Room *room);

#endif
