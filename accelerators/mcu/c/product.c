/* The matrix product: every filter times two columns (or the last single one), two filters at a time, so that weights
 * are read once per pair of pixels and columns once per pair of filters. A filter is a row of 32-bit words, its last
 * one filled up with zeros, and so is the end of a column: there is no remainder to handle.
 *
 * Weight f of the F = 32 / bits in a word stands at bits f * bits and up. In halfword columns fields j and j + F/2 meet
 * the j-th pair of halfwords; in byte columns fields j, j + F/4, j + 2F/4, j + 3F/4 meet the j-th word of four bytes.
 */
#include "kernels.h"
#include "quad.h"
#include "requantize.h"

/* Sums of filters 0 and 1 (first index) with pixels 0 and 1. */
typedef int32_t sums_t[2][2];

/* One field of each part of a word that meets one word of a column. */
INLINE uint32_t step_mask(int bits)
{
    uint32_t field = (1u << bits) - 1;
    return NN_BYTE_COLUMNS ? field * 0x01010101u : field * 0x00010001u;
}

#if NN_DSP

/* Pair j of a word of weights. */
INLINE uint32_t weight_pair(uint32_t word, int j, int bits, uint32_t mask)
{
    if (bits == 8)
        return j ? uxtb16_ror8(word) : uxtb16(word);
    return word >> (j * bits) & mask;
}

INLINE void step(const uint8_t *const weights[2], const uint8_t *const columns[2], const uint32_t zeros[2], sums_t sums,
                 int bits, int per_channel, int pixels, uint32_t mask)
{
    uint32_t word[2] = {*(const word_t *)weights[0], *(const word_t *)weights[1]};
#pragma GCC unroll 8
    for (int j = 16 / bits - 1; j >= 0; j--) { /* downwards: the access at offset 0 then moves the pointer on */
#pragma GCC unroll 2
        for (int filter = 0; filter < 2; filter++) {
            uint32_t pair = weight_pair(word[filter], j, bits, mask);
            if (per_channel)
                pair = ssub16(pair, zeros[filter]);
#pragma GCC unroll 2
            for (int pixel = 0; pixel < pixels; pixel++)
                sums[filter][pixel] = smlad(pair, ((const word_t *)columns[pixel])[j], sums[filter][pixel]);
        }
    }
}

#elif NN_XPULP

INLINE void step(const uint8_t *const weights[2], const uint8_t *const columns[2], const uint32_t zeros[2], sums_t sums,
                 int bits, int per_channel, int pixels, uint32_t mask)
{
    uint32_t word[2] = {*(const word_t *)weights[0], *(const word_t *)weights[1]};
    (void)zeros, (void)per_channel;
#pragma GCC unroll 4
    for (int j = 0; j < 8 / bits; j++) {
#pragma GCC unroll 2
        for (int filter = 0; filter < 2; filter++) {
            uint32_t bytes = bits == 8 ? word[filter] : word[filter] >> (j * bits) & mask;
#pragma GCC unroll 2
            for (int pixel = 0; pixel < pixels; pixel++)
                sums[filter][pixel] =
                    (int32_t)sdotup_b(bytes, ((const word_t *)columns[pixel])[j], (uint32_t)sums[filter][pixel]);
        }
    }
}

#else

/* Bytes rather than words are read, because a byte needs fewer shifts to take apart. */
INLINE void step(const uint8_t *const weights[2], const uint8_t *const columns[2], const uint32_t zeros[2], sums_t sums,
                 int bits, int per_channel, int pixels, uint32_t mask)
{
    (void)mask;
#pragma GCC unroll 16
    for (int field = 0; field < 32 / bits; field++) {
        int half = 16 / bits, place = field < half ? 2 * field : 2 * (field - half) + 1;
#pragma GCC unroll 2
        for (int filter = 0; filter < 2; filter++) {
            int32_t weight = quad_value(weights[filter][field * bits / 8], field % (8 / bits), bits);
            if (per_channel)
                weight -= (int32_t)zeros[filter];
#pragma GCC unroll 2
            for (int pixel = 0; pixel < pixels; pixel++)
                sums[filter][pixel] =
                    wrapping_add(sums[filter][pixel], weight * ((const short_t *)columns[pixel])[place]);
        }
    }
}

#endif

/* What the sum starts from: the bias, and minus zero point times column sum where that is not done weight by weight. */
INLINE int32_t start(const struct nn_layer *layer, int32_t channel, int32_t column_sum, enum nn_scheme scheme)
{
    int32_t bias = NN_STARTS_AT_0(scheme) && !NN_BYTE_COLUMNS ? 0 : layer->bias[channel];
    if (NN_ONE_ZERO(scheme))
        return wrapping_add(bias, wrapping_multiply(-layer->weight_zero, column_sum));
    return NN_BYTE_COLUMNS ? wrapping_add(bias, wrapping_multiply(-layer->weight_zeros[channel], column_sum)) : bias;
}

/* A channel's zero point as `step` subtracts it. */
INLINE uint32_t zero_of(const struct nn_layer *layer, int32_t channel)
{
    return NN_DSP ? layer->weight_zeros[channel] * 0x00010001u : layer->weight_zeros[channel];
}

INLINE void product(const struct nn_layer *layer, int32_t words, const int32_t column_sums[2], uint8_t *out,
                    int weight_bits, int out_bits, enum nn_scheme scheme, int pixels)
{
    int per_channel = !NN_BYTE_COLUMNS && !NN_ONE_ZERO(scheme);
    int step_bytes = (NN_BYTE_COLUMNS ? 32 : 64) / weight_bits;
    const uint8_t *weights[2] = {layer->weights, 0};
    uint8_t *outs[2] = {out, out + (layer->out_c >> 2) * QUAD_BYTES(out_bits)};
    uint32_t packed[2] = {0, 0};
    uint32_t mask = in_register(step_mask(weight_bits));
    int32_t channel = 0;

    do {
        const uint8_t *columns[2] = {layer->columns, (const uint8_t *)layer->columns + words * step_bytes};
        uint32_t zeros[2] = {0, 0};
        int32_t left = words;
        sums_t sums;

#pragma GCC unroll 2
        for (int filter = 0; filter < 2; filter++) {
            if (per_channel)
                zeros[filter] = zero_of(layer, channel + filter);
#pragma GCC unroll 2
            for (int pixel = 0; pixel < pixels; pixel++)
                sums[filter][pixel] = start(layer, channel + filter, column_sums[pixel], scheme);
        }
        weights[1] = weights[0] + 4 * words;
        do {
            step(weights, columns, zeros, sums, weight_bits, per_channel, pixels, mask);
            weights[0] += 4;
            weights[1] += 4;
            columns[0] += step_bytes;
            columns[1] += step_bytes;
        } while (--left);
        weights[0] = weights[1];
#pragma GCC unroll 2
        for (int pixel = 0; pixel < pixels; pixel++) {
            uint32_t first = (uint32_t)requantize(layer, sums[0][pixel], channel, out_bits, scheme);
            uint32_t second = (uint32_t)requantize(layer, sums[1][pixel], channel + 1, out_bits, scheme);
            packed[pixel] = packed[pixel] >> 2 * out_bits | (first | second << out_bits) << 2 * out_bits;
        }
        channel += 2;
        if (channel & 2) /* half a quad: stored with the next pair of filters */
            continue;
#pragma GCC unroll 2
        for (int pixel = 0; pixel < pixels; pixel++) {
            quad_store(outs[pixel], packed[pixel], out_bits);
            outs[pixel] += QUAD_BYTES(out_bits);
        }
    } while (channel < layer->out_c);
}

#define DEFINE(w, o, name, scheme) \
    KERNEL void product2_w##w##_u##o##_##name(const struct nn_layer *layer, int32_t words, int32_t sum0, int32_t sum1, \
                                              uint8_t *out) \
    { \
        const int32_t column_sums[2] = {sum0, sum1}; \
        product(layer, words, column_sums, out, w, o, scheme, 2); \
    } \
    KERNEL void product1_w##w##_u##o##_##name(const struct nn_layer *layer, int32_t words, int32_t sum0, uint8_t *out) \
    { \
        const int32_t column_sums[2] = {sum0, 0}; \
        product(layer, words, column_sums, out, w, o, scheme, 1); \
    }
NN_EACH_PRODUCT(DEFINE)
