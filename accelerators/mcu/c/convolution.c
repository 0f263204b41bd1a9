/* Convolution, pointwise and fully connected layers: columns of two pixels, then their product with all filters. */
#include "kernels.h"
#include "quad.h"

typedef int32_t im2col_fn(const struct nn_layer *, int32_t y, int32_t x, uint8_t *to);
typedef int32_t unpack_fn(const struct nn_layer *, const uint8_t *from, int32_t quads, uint8_t *to);
typedef void product2_fn(const struct nn_layer *, int32_t words, int32_t sum0, int32_t sum1, uint8_t *out);
typedef void product1_fn(const struct nn_layer *, int32_t words, int32_t sum0, uint8_t *out);

#define COLUMN_QUAD_BYTES (NN_BYTE_COLUMNS ? 4 : 8)

/* Words of weights a filter of `quads` quads fills. */
INLINE int32_t filter_words(int32_t quads, int weight_bits)
{
    return weight_bits == 8 ? quads : weight_bits == 4 ? (quads + 1) >> 1 : (quads + 3) >> 2;
}

/* Zeros behind the last tap of a column, where the filter's last word is not full. */
INLINE void clear_tail(uint8_t *column, int32_t quads, int32_t words, int weight_bits)
{
    int32_t spare = words * (8 / weight_bits) - quads;
    word_t *to = (word_t *)(column + quads * COLUMN_QUAD_BYTES);
    if (weight_bits != 8)
        while (spare--) {
            *to++ = 0;
            if (!NN_BYTE_COLUMNS)
                *to++ = 0;
        }
}

INLINE int32_t column_stride(int32_t words, int weight_bits)
{
    return words * ((NN_BYTE_COLUMNS ? 32 : 64) / weight_bits);
}

INLINE void conv(const struct nn_layer *layer, im2col_fn *im2col, product2_fn *product2, product1_fn *product1,
                 int weight_bits, int out_bits)
{
    int32_t quads = layer->kernel_h * layer->kernel_w * (layer->in_c >> 2), words = filter_words(quads, weight_bits);
    int32_t stride = column_stride(words, weight_bits), pixel_bytes = (layer->out_c >> 2) * QUAD_BYTES(out_bits);
    int32_t y = -layer->pad_top, rows = layer->out_h, sum0 = 0, second = 0;
    uint8_t *columns = layer->columns, *out = layer->output;

    clear_tail(columns, quads, words, weight_bits);
    clear_tail(columns + stride, quads, words, weight_bits);
    do {
        int32_t x = -layer->pad_left, left = layer->out_w;
        do {
            int32_t sum = im2col(layer, y, x, columns + (stride & -second));
            if (second) {
                product2(layer, words, sum0, sum, out);
                out += 2 * pixel_bytes;
            }
            sum0 = sum;
            second ^= 1;
            x += layer->stride_w;
        } while (--left);
        y += layer->stride_h;
    } while (--rows);
    if (second)
        product1(layer, words, sum0, out);
}

INLINE void pointwise(const struct nn_layer *layer, unpack_fn *unpack, product2_fn *product2, product1_fn *product1,
                      int in_bits, int weight_bits, int out_bits)
{
    int32_t quads = layer->in_c >> 2, words = filter_words(quads, weight_bits);
    int32_t stride = column_stride(words, weight_bits), pixel_bytes = (layer->out_c >> 2) * QUAD_BYTES(out_bits);
    int32_t left = layer->out_h * layer->out_w, sum0 = 0, second = 0;
    uint8_t *columns = layer->columns, *out = layer->output;
    const uint8_t *from = layer->input;

    clear_tail(columns, quads, words, weight_bits);
    clear_tail(columns + stride, quads, words, weight_bits);
    do {
        int32_t sum = unpack(layer, from, quads, columns + (stride & -second));
        if (second) {
            product2(layer, words, sum0, sum, out);
            out += 2 * pixel_bytes;
        }
        sum0 = sum;
        second ^= 1;
        from += quads * QUAD_BYTES(in_bits);
    } while (--left);
    if (second)
        product1(layer, words, sum0, out);
}

INLINE void dense(const struct nn_layer *layer, unpack_fn *unpack, product1_fn *product1, int weight_bits)
{
    int32_t quads = layer->in_h * layer->in_w * layer->in_c >> 2, words = filter_words(quads, weight_bits);

    clear_tail(layer->columns, quads, words, weight_bits);
    product1(layer, words, unpack(layer, layer->input, quads, layer->columns), layer->output);
}

#define DEFINE(i, w, o, name, scheme) \
    KERNEL void conv_u##i##_u##o##_u##w##_##name(const struct nn_layer *layer) \
    { \
        conv(layer, NN_NEEDS_SUM(scheme) ? im2col_u##i##_sum : im2col_u##i##_nosum, product2_w##w##_u##o##_##name, \
             product1_w##w##_u##o##_##name, w, o); \
    } \
    KERNEL void pointwise_u##i##_u##o##_u##w##_##name(const struct nn_layer *layer) \
    { \
        pointwise(layer, NN_NEEDS_SUM(scheme) ? unpack_u##i##_sum : unpack_u##i##_nosum, \
                  product2_w##w##_u##o##_##name, product1_w##w##_u##o##_##name, i, w, o); \
    } \
    KERNEL void dense_u##i##_u##o##_u##w##_##name(const struct nn_layer *layer) \
    { \
        dense(layer, NN_NEEDS_SUM(scheme) ? unpack_u##i##_sum : unpack_u##i##_nosum, \
              product1_w##w##_u##o##_##name, w); \
    }
NN_EACH_LAYER(DEFINE)
