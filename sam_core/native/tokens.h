/* The small matrices of a prompt, made from its tokens before a pass runs over the image positions.
 *
 * U holds what the tokens add to a position that attends to them: 48 differences (head, token) and a constant row, of
 * each layer. A projection of U is made from the tokens' values directly, 16 products an entry.
 */
#ifndef SAM_TOKENS_H
#define SAM_TOKENS_H

/* Floats of a packed triangle: rows in pieces of seven, each from its own diagonal on. */
#define PACKED(depth) (7 * ((depth) / 7 + 1) * (depth) / 2)

/* rows [tile][depth][64], from row `first` on: the 49 rows of a layer through weights [tile][128][64]. */
void rows_of_values(const float *values, const float *weights, int tiles, float *rows, int first, int depth);

/* mix [head][depth][8]: rows [2][depth][64] of a head times vectors [head][16][8]. */
void mix_rows(const float *rows, int depth, const float *vectors, float *mix);

/* gram: products of the rows of U with one another, from rows = U times the transposed output projections, 128 columns
 * a layer, and the layers' values: the upper triangle packed, twice what is off the diagonal. */
void pack_gram(const float *rows, int layers, const float *const values[2], float *gram);

#endif
