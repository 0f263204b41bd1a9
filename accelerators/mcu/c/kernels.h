/* The kernels, and the parts they are made of.
 *
 * A kernel is named by its operation, the bits of its input, output and weights, and its scheme:
 *
 *   conv_u8_u4_u2_pc_icn     any kernel, stride and padding
 *   pointwise_...            1x1, stride 1: conv without the border
 *   dense_...                fully connected: the input is one vector
 *   depthwise_...            one filter per channel
 *   add_u8_u8_u4             element-wise sum: bits of input, output and other operand
 *   padded_add_...           the same, the input with fewer channels than the other operand
 *   max_pool_u4, average_pool_u4
 *
 * The parts are called once per pixel or pair of pixels; each is compiled by itself, so that its instructions can be
 * counted once and for all.
 */
#ifndef NN_KERNELS_H
#define NN_KERNELS_H

#include "layer.h"

/* Which kernels there are: all, or the ones of a network, named beside this file by whoever generated its code. */
#if __has_include("nn_used.h")
#include "nn_used.h"
#else

/* M(bits). */
#define NN_EACH_BITS(M) M(8) M(4) M(2)

/* M(..., output bits, name, scheme) for every scheme; thresholds have no 8-bit outputs. */
#define NN_SCHEMES(M, ...) \
    M(__VA_ARGS__, pl_fb, NN_PL_FB) M(__VA_ARGS__, pl_icn, NN_PL_ICN) M(__VA_ARGS__, pc_icn, NN_PC_ICN) \
    M(__VA_ARGS__, shifts, NN_SHIFTS)
#define NN_SCHEMES_8(M, ...) NN_SCHEMES(M, __VA_ARGS__, 8)
#define NN_SCHEMES_4(M, ...) NN_SCHEMES(M, __VA_ARGS__, 4) M(__VA_ARGS__, 4, thresholds, NN_THRESHOLDS)
#define NN_SCHEMES_2(M, ...) NN_SCHEMES(M, __VA_ARGS__, 2) M(__VA_ARGS__, 2, thresholds, NN_THRESHOLDS)
#define NN_OUTPUTS(M, ...) NN_SCHEMES_8(M, __VA_ARGS__) NN_SCHEMES_4(M, __VA_ARGS__) NN_SCHEMES_2(M, __VA_ARGS__)
/* M(weight bits, output bits, name, scheme): 42 combinations. */
#define NN_EACH_PRODUCT(M) NN_OUTPUTS(M, 8) NN_OUTPUTS(M, 4) NN_OUTPUTS(M, 2)
/* M(input bits, weight bits, output bits, name, scheme): 126 combinations. */
#define NN_EACH_LAYER(M) \
    NN_OUTPUTS(M, 8, 8) NN_OUTPUTS(M, 8, 4) NN_OUTPUTS(M, 8, 2) NN_OUTPUTS(M, 4, 8) NN_OUTPUTS(M, 4, 4) \
    NN_OUTPUTS(M, 4, 2) NN_OUTPUTS(M, 2, 8) NN_OUTPUTS(M, 2, 4) NN_OUTPUTS(M, 2, 2)

#define NN_EACH_ADD(M) \
    M(8, 8, 8) M(8, 8, 4) M(8, 8, 2) M(8, 4, 8) M(8, 4, 4) M(8, 4, 2) M(8, 2, 8) M(8, 2, 4) M(8, 2, 2) \
    M(4, 8, 8) M(4, 8, 4) M(4, 8, 2) M(4, 4, 8) M(4, 4, 4) M(4, 4, 2) M(4, 2, 8) M(4, 2, 4) M(4, 2, 2) \
    M(2, 8, 8) M(2, 8, 4) M(2, 8, 2) M(2, 4, 8) M(2, 4, 4) M(2, 4, 2) M(2, 2, 8) M(2, 2, 4) M(2, 2, 2)
#define NN_EACH_PADDED_ADD(M) NN_EACH_ADD(M)

#endif

/* Whether all weights of a layer have one zero point. */
#define NN_ONE_ZERO(scheme) ((scheme) == NN_PL_FB || (scheme) == NN_PL_ICN || (scheme) == NN_SHIFTS)

/* Whether a scheme adds its bias, if any, behind the sum and not to it. */
#define NN_STARTS_AT_0(scheme) ((scheme) == NN_THRESHOLDS || (scheme) == NN_SHIFTS)

/* Whether a scheme needs the sum of a column, to subtract the weights' zero point after the product. */
#define NN_NEEDS_SUM(scheme) (NN_BYTE_COLUMNS || NN_ONE_ZERO(scheme))

/* columns.c: one column of a convolution whose window starts at (y, x), and a run of quads. Return the column's sum. */
#define NN_DECLARE_COLUMNS(bits) \
    int32_t im2col_u##bits##_sum(const struct nn_layer *, int32_t y, int32_t x, uint8_t *to); \
    int32_t im2col_u##bits##_nosum(const struct nn_layer *, int32_t y, int32_t x, uint8_t *to); \
    int32_t unpack_u##bits##_sum(const struct nn_layer *, const uint8_t *from, int32_t quads, uint8_t *to); \
    int32_t unpack_u##bits##_nosum(const struct nn_layer *, const uint8_t *from, int32_t quads, uint8_t *to); \
    int32_t window_u##bits(const struct nn_layer *, int32_t y, int32_t x, uint8_t *to);
NN_EACH_BITS(NN_DECLARE_COLUMNS)

/* product.c: all output channels of two columns, or of one, from `words` words of weights a filter. */
#define NN_DECLARE_PRODUCT(w, o, name, scheme) \
    void product2_w##w##_u##o##_##name(const struct nn_layer *, int32_t words, int32_t sum0, int32_t sum1, \
                                       uint8_t *out); \
    void product1_w##w##_u##o##_##name(const struct nn_layer *, int32_t words, int32_t sum0, uint8_t *out); \
    void taps_w##w##_u##o##_##name(const struct nn_layer *, uint8_t *out);
NN_EACH_PRODUCT(NN_DECLARE_PRODUCT)

#define NN_DECLARE_LAYER(i, w, o, name, scheme) \
    void conv_u##i##_u##o##_u##w##_##name(const struct nn_layer *); \
    void pointwise_u##i##_u##o##_u##w##_##name(const struct nn_layer *); \
    void dense_u##i##_u##o##_u##w##_##name(const struct nn_layer *); \
    void depthwise_u##i##_u##o##_u##w##_##name(const struct nn_layer *);
NN_EACH_LAYER(NN_DECLARE_LAYER)

#define NN_DECLARE_POOL(bits) \
    void max_pool_u##bits(const struct nn_layer *); \
    void average_pool_u##bits(const struct nn_layer *);
NN_EACH_BITS(NN_DECLARE_POOL)

#define NN_DECLARE_ADD(i, o, w) void add_u##i##_u##o##_u##w(const struct nn_layer *);
NN_EACH_ADD(NN_DECLARE_ADD)

#define NN_DECLARE_PADDED_ADD(i, o, w) void padded_add_u##i##_u##o##_u##w(const struct nn_layer *);
NN_EACH_PADDED_ADD(NN_DECLARE_PADDED_ADD)

#endif
