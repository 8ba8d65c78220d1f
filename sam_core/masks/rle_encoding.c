/* Encodes masks as COCO's compressed run lengths, from the places where their pixels change. */
#include <stdint.h>

/* Writes a number in groups of five bits, the lowest first, and returns where the next one goes. */
static uint8_t *write_number(uint8_t *out, int64_t value) {
    for (;;) {
        const int64_t group = value & 31, rest = (value - group) / 32;
        const int more = rest != (group & 16 ? -1 : 0);
        *out++ = (uint8_t)(48 + group + (more ? 32 : 0));
        if (!more) return out;
        value = rest;
    }
}

/* Compressed counts of masks from the places where their pixels change. The edges of a mask end at
 * ends[mask] and its counts at offsets[mask + 1]; both begin where the mask before ends. out: 8 bytes a run. */
void rle_counts(const int32_t *edges, const int64_t *ends, int64_t masks, int64_t pixels, uint8_t *out,
                int64_t *offsets) {
    uint8_t *next = out;
    int64_t first = 0;
    offsets[0] = 0;
    for (int64_t mask = 0; mask < masks; mask++) {
        int64_t line = 0, one_before = 0, two_before = 0;
        for (int64_t edge = first; edge <= ends[mask]; edge++) {
            const int64_t place = edge < ends[mask] ? edges[edge] : pixels, run = place - line;
            next = write_number(next, edge - first > 2 ? run - two_before : run);
            two_before = one_before;
            one_before = run;
            line = place;
        }
        first = ends[mask];
        offsets[mask + 1] = next - out;
    }
}
