/* Decodes COCO's compressed run lengths to pixels, row by row as in numpy and torch.
 *
 * Runs go down the columns, but pixels are stored along the rows. So a band of 64 columns gets a mark where a column
 * enters or leaves the mask, and one pass down the band turns the marks into pixels: the state of each column is the
 * exclusive or of the marks above. Columns outside the mask are never written; the caller passes zeros.
 */
#include <stdint.h>
#include <string.h>

enum { BAND = 64 };

/* The runs of one mask, one at a time. */
typedef struct {
    const uint8_t *next, *end;
    int64_t one_before, two_before, index;
} Counts;

/* A window of the image: first column and row, last ones plus 1. */
typedef struct {
    int32_t height, width;
    int32_t x0, y0, x1, y1;
} Window;

/* A band in progress: marks [row of the window][BAND] for the columns from `first` on, in rows top..bottom only. */
typedef struct {
    uint8_t *marks;
    int64_t first;
    int32_t top, bottom;
} Band;

int32_t rle_sources(void) { return RLE_SOURCES; }

/* The next run; -1 if the counts are cut off or contain an invalid character. */
static int64_t next_run(Counts *counts) {
    int64_t value = 0;
    for (int shift = 0;;) {
        if (counts->next == counts->end || shift >= 50) return -1;
        const unsigned group = (unsigned)*counts->next++ - 48u;
        if (group > 63) return -1;
        value |= (int64_t)(group & 31) << shift;
        shift += 5;
        if (group & 32) continue;
        if (group & 16) value -= (int64_t)1 << shift;
        break;
    }
    if (counts->index++ > 2) value += counts->two_before;
    counts->two_before = counts->one_before;
    counts->one_before = value;
    return value < 0 ? -1 : value;
}

/* The next run of ones as start and stop on the column-major line: 1, or 0 at the end, -1 for unsound counts. */
static int next_piece(Counts *counts, int64_t total, int64_t *line, int64_t *start, int64_t *stop) {
    while (counts->next != counts->end) {
        const int64_t zeros = next_run(counts);
        if (zeros < 0 || zeros > total - *line) return -1;
        *start = *line += zeros;
        if (counts->next == counts->end) break;
        const int64_t ones = next_run(counts);
        if (ones < 0 || ones > total - *line) return -1;
        *stop = *line += ones;
        if (ones) return 1;
    }
    return *line == total ? 0 : -1;
}

/* The first mask whose counts do not describe `pixels` pixels; -1 if all do. */
int64_t rle_unsound(const uint8_t *counts, const int64_t *offsets, int64_t masks, int64_t pixels) {
    for (int64_t mask = 0; mask < masks; mask++) {
        Counts runs = {counts + offsets[mask], counts + offsets[mask + 1], 0, 0, 0};
        int64_t line = 0, start = 0, stop = 0;
        int sound = 1;
        while ((sound = next_piece(&runs, pixels, &line, &start, &stop)) == 1) {}
        if (sound < 0) return mask;
    }
    return -1;
}

/* Writes each mask's area, and the first column and row and the last ones in which it has pixels (all zeros if it is
 * empty), into measures [mask][5]. sizes: [mask][height, width]. Returns as rle_unsound, and stops there. */
int64_t rle_measures(const uint8_t *counts, const int64_t *offsets, int64_t masks, const int64_t *sizes,
                     int64_t *measures) {
    for (int64_t mask = 0; mask < masks; mask++) {
        const int64_t height = sizes[2 * mask], total = height * sizes[2 * mask + 1];
        Counts runs = {counts + offsets[mask], counts + offsets[mask + 1], 0, 0, 0};
        int64_t line = 0, start = 0, stop = 0, area = 0, first = -1, last = 0, top = height, bottom = 0;
        int sound = 1;
        while ((sound = next_piece(&runs, total, &line, &start, &stop)) == 1) {
            const int64_t y = start % height, y_end = y + stop - start;
            /* a piece that continues in the next column touches the last row and the first */
            if (y_end > height || y < top) top = y_end > height ? 0 : y;
            if (y_end > bottom) bottom = y_end > height ? height : y_end;
            if (first < 0) first = start;
            last = stop - 1;
            area += stop - start;
        }
        if (sound < 0) return mask;
        const int64_t measured[5] = {area, first / height, top, last / height, bottom - 1};
        for (int place = 0; place < 5; place++) measures[5 * mask + place] = area ? measured[place] : 0;
    }
    return -1;
}

static void write_pixels(Band *band, const Window *window, uint8_t *out, int64_t row_step) {
    const int64_t left = window->x1 - window->x0 - band->first;
    const int columns = left < BAND ? (int)left : BAND;
    uint8_t state[BAND] = {0};
    for (int32_t y = band->top; y < band->bottom; y++) {
        uint8_t *marks = band->marks + (int64_t)y * BAND, *row = out + y * row_step + band->first;
        for (int i = 0; i < BAND; i++) state[i] ^= marks[i];
        memset(marks, 0, BAND);
        if (columns == BAND)
            memcpy(row, state, BAND);
        else
            memcpy(row, state, columns);
    }
}

static void write_label(Band *band, const Window *window, int32_t *out, int64_t row_step, int32_t label) {
    const int64_t left = window->x1 - window->x0 - band->first;
    const int columns = left < BAND ? (int)left : BAND;
    uint8_t state[BAND] = {0};
    for (int32_t y = band->top; y < band->bottom; y++) {
        uint8_t *marks = band->marks + (int64_t)y * BAND;
        int32_t *row = out + y * row_step + band->first;
        for (int i = 0; i < BAND; i++) state[i] ^= marks[i];
        memset(marks, 0, BAND);
        for (int i = 0; i < columns; i++) row[i] = state[i] ? label : row[i];
    }
}

static void finish_band(Band *band, const Window *window, void *out, int64_t row_step, int32_t label) {
    if (band->top < band->bottom) {
        if (label)
            write_label(band, window, out, row_step, label);
        else
            write_pixels(band, window, out, row_step);
        /* the marks at the row below the mask's last one make no pixel, but must be cleared */
        if (band->bottom < window->y1 - window->y0) memset(band->marks + (int64_t)band->bottom * BAND, 0, BAND);
    }
    band->top = window->y1 - window->y0;
    band->bottom = 0;
}

/* One column's piece of a run, rows y..y_end of the image. */
static void mark(Band *band, const Window *window, int32_t x, int32_t y, int32_t y_end) {
    if (y < window->y0) y = window->y0;
    if (y_end > window->y1) y_end = window->y1;
    if (y >= y_end) return;
    const int64_t column = x - window->x0 - band->first;
    y -= window->y0, y_end -= window->y0;
    band->marks[(int64_t)y * BAND + column] ^= 1;
    if (y_end < window->y1 - window->y0) band->marks[(int64_t)y_end * BAND + column] ^= 1;
    if (y < band->top) band->top = y;
    if (y_end > band->bottom) band->bottom = y_end;
}

static int draw(Counts counts, const Window *window, void *out, int64_t row_step, int32_t label, uint8_t *marks) {
    const int64_t height = window->height, total = height * window->width;
    Band band = {marks, 0, window->y1 - window->y0, 0};
    int64_t line = 0, start = 0, stop = 0;
    int sound = 1;
    while ((sound = next_piece(&counts, total, &line, &start, &stop)) == 1) {
        if (start < window->x0 * height) start = window->x0 * height;
        if (stop > window->x1 * height) stop = window->x1 * height;
        int64_t x = start / height;
        for (; start < stop; x++, start = x * height) {
            const int64_t first = (x - window->x0) / BAND * BAND;
            if (first != band.first) finish_band(&band, window, out, row_step, label), band.first = first;
            const int64_t column_end = (x + 1) * height;
            mark(&band, window, (int32_t)x, (int32_t)(start - x * height),
                 (int32_t)((stop < column_end ? stop : column_end) - x * height));
        }
    }
    finish_band(&band, window, out, row_step, label);
    return sound;
}

static Counts counts_of(const uint8_t *counts, const int64_t *offsets, int64_t mask) {
    return (Counts){counts + offsets[mask], counts + offsets[mask + 1], 0, 0, 0};
}

/* Draws masks into out [mask][row of the window][column of the window], which must be zeros. marks: zeros, [rows of the
 * window][64], zeros again at the end. Returns the first mask whose counts are unsound, -1 if all are sound. */
int64_t rle_masks(const uint8_t *counts, const int64_t *offsets, int64_t masks, const Window *window, uint8_t *out,
                  int64_t mask_step, int64_t row_step, uint8_t *marks) {
    for (int64_t mask = 0; mask < masks; mask++)
        if (draw(counts_of(counts, offsets, mask), window, out + mask * mask_step, row_step, 0, marks) < 0) return mask;
    return -1;
}

/* Draws masks on top of each other into out [row][column], in `order`, each as its place plus 1. */
int64_t rle_labels(const uint8_t *counts, const int64_t *offsets, const int64_t *order, int64_t masks,
                   const Window *window, int32_t *out, int64_t row_step, uint8_t *marks) {
    for (int64_t place = 0; place < masks; place++) {
        const int64_t mask = order[place];
        const int32_t label = (int32_t)mask + 1;
        if (draw(counts_of(counts, offsets, mask), window, out, row_step, label, marks) < 0) return mask;
    }
    return -1;
}

/* Cells of a smaller grid: row y of the image lies in cell_of_row[y], cell i begins at first_row[i]. */
typedef struct {
    int32_t height, width, cell_rows, cell_columns;
    const int32_t *cell_of_row, *first_row, *cell_of_column, *first_column;
} Cells;

static void count_piece(const Cells *cells, uint32_t *column, int32_t y, int32_t y_end) {
    for (int32_t cell = cells->cell_of_row[y]; y < y_end; cell++) {
        const int32_t cell_end = cells->first_row[cell + 1], end = y_end < cell_end ? y_end : cell_end;
        column[cell] += (uint32_t)(end - y);
        y = end;
    }
}

/* Draws masks into out [mask][cell row][cell column], which must be zeros: 1 where a mask holds at least half of a
 * cell's pixels. pixels: zeros, [cell column][cell row], zeros again at the end. Returns as rle_masks. */
int64_t rle_reduced(const uint8_t *counts, const int64_t *offsets, int64_t masks, const Cells *cells, uint8_t *out,
                    int64_t mask_step, int64_t row_step, uint32_t *pixels) {
    const int64_t height = cells->height, total = height * cells->width, rows = cells->cell_rows;
    for (int64_t mask = 0; mask < masks; mask++) {
        Counts runs = counts_of(counts, offsets, mask);
        int64_t line = 0, start = 0, stop = 0, first = cells->cell_columns, last = -1;
        int sound = 1;
        while ((sound = next_piece(&runs, total, &line, &start, &stop)) == 1) {
            int64_t x = start / height;
            if (cells->cell_of_column[x] < first) first = cells->cell_of_column[x];
            for (; start < stop; x++, start = x * height) {
                const int64_t end = stop < (x + 1) * height ? stop : (x + 1) * height;
                last = cells->cell_of_column[x];
                count_piece(cells, pixels + last * rows, (int32_t)(start - x * height), (int32_t)(end - x * height));
            }
        }
        for (int64_t i = first; i <= last; i++) {
            const int64_t columns = cells->first_column[i + 1] - cells->first_column[i];
            for (int64_t j = 0; j < rows; j++) {
                const int64_t size = columns * (cells->first_row[j + 1] - cells->first_row[j]);
                out[mask * mask_step + j * row_step + i] = 2 * (int64_t)pixels[i * rows + j] >= size;
            }
        }
        if (first <= last) memset(pixels + first * rows, 0, (size_t)((last - first + 1) * rows) * sizeof *pixels);
        if (sound < 0) return mask;
    }
    return -1;
}

/* A grid over a part of the image, whose cell edges may lie inside pixels: the cell of pixel (x, y) is
 * (y - y0) * cells_a_row down and (x - x0) * cells_a_column to the right, with fractions. */
typedef struct {
    int32_t height, width, x0, y0, x1, y1, cell_rows, cell_columns;
    double cells_a_row, cells_a_column;
} Grid;

static double least(double one, double other) { return one < other ? one : other; }
static double most(double one, double other) { return one > other ? one : other; }

/* Adds the part of each cell that rows y..y_end of a column of pixels cover. */
static void cover_piece(const Grid *grid, float *cells, int64_t x, int64_t y, int64_t y_end) {
    const double left = (double)x * grid->cells_a_column, right = (double)(x + 1) * grid->cells_a_column;
    const double top = (double)y * grid->cells_a_row, bottom = (double)y_end * grid->cells_a_row;
    if (left >= grid->cell_columns || top >= grid->cell_rows) return;
    for (int32_t j = (int32_t)left; j < grid->cell_columns && j < right; j++) {
        const double across = least(right, j + 1) - most(left, j);
        for (int32_t i = (int32_t)top; i < grid->cell_rows && i < bottom; i++)
            cells[(int64_t)i * grid->cell_columns + j] += (float)(across * (least(bottom, i + 1) - most(top, i)));
    }
}

/* Writes how much of each cell each mask covers, as far as it lies in the grid's part of the image, into
 * out [mask][cell row][cell column], which must be zeros. Returns as rle_masks. */
int64_t rle_covered(const uint8_t *counts, const int64_t *offsets, int64_t masks, const Grid *grid, float *out) {
    const int64_t height = grid->height, total = height * grid->width;
    for (int64_t mask = 0; mask < masks; mask++) {
        float *cells = out + mask * grid->cell_rows * grid->cell_columns;
        Counts runs = counts_of(counts, offsets, mask);
        int64_t line = 0, start = 0, stop = 0;
        int sound = 1;
        while ((sound = next_piece(&runs, total, &line, &start, &stop)) == 1) {
            for (int64_t x = start / height; start < stop; x++, start = x * height) {
                const int64_t end = stop < (x + 1) * height ? stop : (x + 1) * height;
                int64_t y = start - x * height, y_end = end - x * height;
                y = y < grid->y0 ? grid->y0 : y;
                y_end = y_end > grid->y1 ? grid->y1 : y_end;
                if (x >= grid->x0 && x < grid->x1 && y < y_end)
                    cover_piece(grid, cells, x - grid->x0, y - grid->y0, y_end - grid->y0);
            }
        }
        if (sound < 0) return mask;
    }
    return -1;
}
