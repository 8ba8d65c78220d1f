/* From the low-resolution logits of a mask to its counts, box and runs in pixels of the crop.
 *
 * SA resizes twice, bilinear both times: a pixel is a weighted sum of three neighbouring logits along each side. The
 * rows are resized first and transposed, so that a column of pixels is contiguous, as COCO's runs are column-major. One
 * pass over the pixels counts those above the three thresholds and keeps one bit each; runs are made from the bits.
 */
#include "kernel.h"
#include "vector.h"

typedef _Bool lane_bits __attribute__((ext_vector_type(LANES)));

int32_t sam_sources(void) { return SAM_SOURCES; }

/* columns [column of logits][padded height]: each column resized to the height of the crop. */
static void resize_rows(const Cut *cut, const float *logits, float *columns) {
    const int64_t row_length = cut->columns;
    for (int y = 0; y < cut->padded_height; y += LANES)
        for (int x = 0; x < cut->columns; x += LANES) {
            vf block[LANES];
            EACH(i, LANES) {
                block[i] = all(-1e30f); /* rows past the crop's last: never inside */
                if (y + i >= cut->height) continue;
                const float *weights = cut->row_weights + 3 * (y + i);
                vf sum = all(0);
                EACH(k, 3) {
                    const int row = cut->row_first[y + i] + k;
                    sum += weights[k] * load(logits + (row & 3) * cut->plane + (row >> 2) * row_length + x);
                }
                block[i] = sum;
            }
            transpose(block);
            UNROLL EACH(i, LANES) store(columns + (int64_t)(x + i) * cut->padded_height + y, block[i]);
        }
}

INLINE uint64_t bits_of(vi inside) {
    lane_bits bits = __builtin_convertvector(inside, lane_bits);
    uint64_t word = 0;
    memcpy(&word, &bits, sizeof bits);
    return word & ((1ull << LANES) - 1);
}

/* Counts of pixels above the upper and the lower threshold; a bit for each above the middle one, column by column. */
static void threshold(const Cut *cut, const float *columns, uint64_t *bits, Measure *measure) {
    const float high = cut->threshold + cut->offset, low = cut->threshold - cut->offset;
    vi over_high = {0}, over_low = {0}; /* 32 bits a lane: with 4 lanes they last for 8e9 pixels */
    EACH(x, cut->width) {
        const float *from = columns + (int64_t)cut->column_first[x] * cut->padded_height;
        const float *weights = cut->column_weights + 3 * x;
        for (int y = 0; y < cut->padded_height; y += 64) {
            uint64_t word = 0;
            UNROLL for (int i = 0; i < 64; i += LANES) {
                const float *pixels = from + y + i;
                vf value = weights[0] * load(pixels) + weights[1] * load(pixels + cut->padded_height) +
                           weights[2] * load(pixels + 2 * (int64_t)cut->padded_height);
                over_high -= value > high;
                over_low -= value > low;
                word |= bits_of(value > cut->threshold) << i;
            }
            *bits++ = word;
        }
    }
    measure->over_high = measure->over_low = 0;
    EACH(i, LANES) {
        measure->over_high += over_high[i];
        measure->over_low += over_low[i];
    }
}

/* Lengths of the runs, column after column, zeros first; the area and the box on the way. */
static int64_t make_runs(const Cut *cut, const uint64_t *bits, Measure *measure, uint32_t *runs) {
    const int words = cut->padded_height / 64;
    const uint32_t *start = runs;
    int64_t last = 0;
    uint64_t before = 0; /* whether the pixel before is inside */
    *measure = (Measure){measure->over_high, measure->over_low, .x0 = cut->width, .y0 = cut->height};
    EACH(x, cut->width) EACH(w, words) {
        uint64_t word = *bits++;
        const int height = cut->height - 64 * w < 64 ? cut->height - 64 * w : 64;
        if (height <= 0) continue;
        uint64_t changes = word ^ (word << 1 | before);
        if (height < 64) changes &= (1ull << height) - 1;
        before = word >> (height - 1) & 1;
        for (; changes; changes &= changes - 1) {
            const int64_t at = (int64_t)x * cut->height + 64 * w + __builtin_ctzll(changes);
            *runs++ = (uint32_t)(at - last);
            last = at;
        }
        if (!word) continue;
        const int top = 64 * w + __builtin_ctzll(word), bottom = 64 * w + 63 - __builtin_clzll(word);
        measure->area += __builtin_popcountll(word);
        measure->x0 = x < measure->x0 ? x : measure->x0;
        measure->x1 = x;
        measure->y0 = top < measure->y0 ? top : measure->y0;
        measure->y1 = bottom > measure->y1 ? bottom : measure->y1;
    }
    if (!measure->area) measure->x0 = measure->y0 = 0;
    *runs++ = (uint32_t)((int64_t)cut->width * cut->height - last);
    return runs - start;
}

void sam_measure(const Cut *cut, const float *logits, float *columns, uint64_t *bits, Measure *measure,
                 uint32_t *runs) {
    resize_rows(cut, logits, columns);
    threshold(cut, columns, bits, measure);
    /* the stability is 0 if nothing is over the lower threshold */
    const float stability = measure->over_low ? (float)measure->over_high / (float)measure->over_low : 0;
    measure->run_count = stability < cut->min_stability ? -1 : make_runs(cut, bits, measure, runs);
}
