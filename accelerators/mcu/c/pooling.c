/* Max and average pooling over the taps that lie inside the input; bits and scale stay what they are. Portable C. */
#include "kernels.h"
#include "quad.h"

enum pool { MAXIMUM, AVERAGE };

/* The larger of two values below 2^31, without a branch. */
INLINE int32_t larger(int32_t a, int32_t b)
{
    return b + positive(a - b);
}

/* One quad over `rows` x `taps` neighbours. */
INLINE uint32_t pool_quad(const uint8_t *from, int32_t rows, int32_t taps, int32_t row_bytes, int32_t tap_bytes,
                          int bits, enum pool pool)
{
    int32_t values[4] = {0, 0, 0, 0};
    uint32_t count = (uint32_t)(rows * taps), packed = 0;
    do {
        const uint8_t *tap = from;
        int32_t left = taps;
        do {
            uint32_t quad = quad_load(tap, bits);
#pragma GCC unroll 4
            for (int i = 0; i < 4; i++) {
                int32_t value = quad_value(quad, i, bits);
                values[i] = pool == MAXIMUM ? larger(values[i], value) : values[i] + value;
            }
            tap += tap_bytes;
        } while (--left);
        from += row_bytes;
    } while (--rows);
#pragma GCC unroll 4
    for (int i = 0; i < 4; i++) {
        uint32_t value = (uint32_t)values[i];
        packed |= (pool == MAXIMUM ? value : (value + (count >> 1)) / count) << (i * bits); /* halves round up */
    }
    return packed;
}

/* The window whose first tap lies at (y, x), which may be outside; some tap of it lies inside. */
INLINE uint8_t *pool_pixel(const struct nn_layer *layer, int32_t y, int32_t x, uint8_t *out, int bits, enum pool pool)
{
    int32_t quads = layer->in_c >> 2, tap_bytes = quads * QUAD_BYTES(bits);
    int32_t top = positive(-y), bottom = positive(y + layer->kernel_h - layer->in_h);
    int32_t left = positive(-x), right = positive(x + layer->kernel_w - layer->in_w);
    const uint8_t *from = layer->input;

    from += ((y + top) * layer->in_w + x + left) * tap_bytes;
    do {
        uint32_t packed = pool_quad(from, layer->kernel_h - top - bottom, layer->kernel_w - left - right,
                                    layer->in_w * tap_bytes, tap_bytes, bits, pool);
        quad_store(out, packed, bits);
        from += QUAD_BYTES(bits);
        out += QUAD_BYTES(bits);
    } while (--quads);
    return out;
}

INLINE void pool(const struct nn_layer *layer, int bits, enum pool pool)
{
    int32_t y = -layer->pad_top, rows = layer->out_h;
    uint8_t *out = layer->output;

    do {
        int32_t x = -layer->pad_left, left = layer->out_w;
        do {
            out = pool_pixel(layer, y, x, out, bits, pool);
            x += layer->stride_w;
        } while (--left);
        y += layer->stride_h;
    } while (--rows);
}

#define DEFINE(bits) \
    KERNEL void max_pool_u##bits(const struct nn_layer *layer) \
    { \
        pool(layer, bits, MAXIMUM); \
    } \
    KERNEL void average_pool_u##bits(const struct nn_layer *layer) \
    { \
        pool(layer, bits, AVERAGE); \
    }
NN_EACH_BITS(DEFINE)
