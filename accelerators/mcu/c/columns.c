/* im2col: the window of one output pixel as a column, unpacked. Where the window hangs over the border the column
 * holds the input's zero point. Rows of the window are contiguous in an HWC tensor: left border, run, right border.
 */
#include "kernels.h"
#include "quad.h"

/* What a column is made of. */
enum column {
    HALFWORDS, /* value - zero point, four halfwords a quad in the order 0, 2, 1, 3 */
    BYTES      /* the value itself, four bytes a quad */
};

#define COLUMN (NN_BYTE_COLUMNS ? BYTES : HALFWORDS)

/* Unpack `quads` > 0 quads; the sum of what was written (values - zero point in halfword columns) is added to *sum. */
INLINE uint8_t *unpack(uint8_t *to, const uint8_t *from, int32_t quads, int32_t zero, int bits, enum column column,
                       int sums, int32_t *sum)
{
#if NN_DSP
    uint32_t zeros = (uint32_t)zero * 0x00010001u;
#endif
    do {
        if (column == BYTES) {
            uint32_t bytes = quad_bytes(quad_load(from, bits), bits);
            *(word_t *)to = bytes;
#if NN_XPULP
            if (sums)
                *sum = (int32_t)sdotup_b(bytes, 0x01010101, (uint32_t)*sum);
#endif
            to += 4;
        } else {
#if NN_DSP
            uint32_t even, odd;
            quad_pairs(quad_load(from, bits), bits, &even, &odd);
            even = ssub16(even, zeros);
            odd = ssub16(odd, zeros);
            ((word_t *)to)[0] = even;
            ((word_t *)to)[1] = odd;
            if (sums)
                *sum = smlad(even, 0x00010001, smlad(odd, 0x00010001, *sum));
#else
            static const uint8_t place[4] = {0, 2, 1, 3};
            uint32_t bytes[4] = {0, 0, 0, 0}; /* read before anything is written, which might alias them */
#pragma GCC unroll 4
            for (int i = 0; i < QUAD_BYTES(bits); i++)
                bytes[i] = from[i];
#pragma GCC unroll 4
            for (int channel = 0; channel < 4; channel++) {
                int32_t value = quad_value(bytes[channel * bits / 8], channel % (8 / bits), bits) - zero;
                ((short_t *)to)[place[channel]] = (int16_t)value;
                if (sums)
                    *sum += value;
            }
#endif
            to += 8;
        }
        from += QUAD_BYTES(bits);
    } while (--quads);
    return to;
}

/* `quads` > 0 quads of border. */
INLINE uint8_t *border(uint8_t *to, int32_t quads, int32_t zero, enum column column)
{
    do {
        if (column == BYTES) {
            *(word_t *)to = (uint32_t)zero * 0x01010101u;
            to += 4;
        } else {
            ((word_t *)to)[0] = 0;
            ((word_t *)to)[1] = 0;
            to += 8;
        }
    } while (--quads);
    return to;
}

/* The window whose first tap lies at (y, x) of the input, which may be outside; some tap of it lies inside. */
INLINE int32_t window(const struct nn_layer *layer, int32_t y, int32_t x, uint8_t *to, int bits, enum column column,
                      int sums)
{
    int32_t quads = layer->in_c >> 2, zero = layer->input_zero, sum = 0;
    int32_t top = positive(-y), bottom = positive(y + layer->kernel_h - layer->in_h);
    int32_t left = positive(-x), right = positive(x + layer->kernel_w - layer->in_w);
    int32_t rows = layer->kernel_h - top - bottom, inside = (layer->kernel_w - left - right) * quads;
    int32_t row_quads = layer->kernel_w * quads;
    const uint8_t *from = layer->input;

    from += ((y + top) * layer->in_w + x + left) * quads * QUAD_BYTES(bits);
    if (sums && column == BYTES) /* the border's share; in halfword columns it is zero */
        sum = (layer->kernel_h * row_quads - rows * inside) * 4 * zero;
    if (top)
        to = border(to, top * row_quads, zero, column);
    do {
        if (left)
            to = border(to, left * quads, zero, column);
        to = unpack(to, from, inside, zero, bits, column, sums, &sum);
        if (right)
            to = border(to, right * quads, zero, column);
        from += layer->in_w * quads * QUAD_BYTES(bits);
    } while (--rows);
    if (bottom)
        border(to, bottom * row_quads, zero, column);
    return sum;
}

/* im2col_uB_sum, im2col_uB_nosum: columns of a convolution. unpack_uB_...: of contiguous channels. window_uB: bytes,
 * for depthwise layers. */
#define DEFINE_SUMS(bits, suffix, sums) \
    KERNEL int32_t im2col_u##bits##_##suffix(const struct nn_layer *layer, int32_t y, int32_t x, uint8_t *to) \
    { \
        return window(layer, y, x, to, bits, COLUMN, sums); \
    } \
    KERNEL int32_t unpack_u##bits##_##suffix(const struct nn_layer *layer, const uint8_t *from, int32_t quads, \
                                             uint8_t *to) \
    { \
        int32_t sum = 0; \
        unpack(to, from, quads, layer->input_zero, bits, COLUMN, sums, &sum); \
        return sum; \
    }
#define DEFINE(bits) \
    DEFINE_SUMS(bits, sum, 1) \
    DEFINE_SUMS(bits, nosum, 0) \
    KERNEL int32_t window_u##bits(const struct nn_layer *layer, int32_t y, int32_t x, uint8_t *to) \
    { \
        return window(layer, y, x, to, bits, BYTES, 0); \
    }
NN_EACH_BITS(DEFINE)
