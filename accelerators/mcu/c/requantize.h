/* From the 32-bit sum of a channel to its output. The order of operations is that of integer channel normalization:
 * left shift, high word of the product with the multiplier, right shift, zero point, clamp. Sums wrap at 32 bits.
 * Where every scale is a power of two: shift, clamp to 16 bits, offset, shift, zero point, clamp; shifts round.
 */
#ifndef NN_REQUANTIZE_H
#define NN_REQUANTIZE_H

#include "isa.h"
#include "layer.h"

/* clamp(zero + (high word of (sum << max(0, -shift)) * multiplier) >> max(0, shift)), |shift| <= 31. */
INLINE int32_t scaled(int32_t sum, int32_t multiplier, int32_t shift, int32_t zero, int bits)
{
    int32_t shifted = (int32_t)((uint32_t)sum << positive(-shift));
    return clamp_bits((multiply_high(shifted, multiplier) >> positive(shift)) + zero, bits);
}

/* How many of the 2^bits - 1 ascending thresholds are not above `sum`: a bisection of `bits` steps. */
INLINE int32_t threshold_count(int32_t sum, const int16_t *thresholds, int bits)
{
    int32_t count = 0;
#pragma GCC unroll 8
    for (int step = 1 << (bits - 1); step > 0; step >>= 1)
        count += step & -(int32_t)(sum >= thresholds[count + step - 1]);
    return count;
}

/* v / 2^right to the nearest integer, halves to even; 0 <= right <= 30, |v| + 2^(right-1) < 2^30. With the value doubled a
 * shift by no bits needs no case of its own. */
INLINE int32_t rounded(int32_t v, int32_t right)
{
    return (2 * v + ((1 << right) - 1) + ((v >> right) & 1)) >> right >> 1;
}

/* The datapath of TQT: q(q16(sum) + offset). A left shift by 14 bits saturates whatever is not 0. */
INLINE int32_t shifted(const struct nn_layer *layer, int32_t sum, int32_t channel, int bits)
{
    int32_t middle = clamp_16(rounded(sum, layer->shift)) + layer->offsets[channel];
    int32_t left = (int32_t)((uint32_t)middle << positive(-layer->out_shift));
    return clamp_bits(rounded(left, positive(layer->out_shift)) + layer->output_zero, bits);
}

INLINE int32_t requantize(const struct nn_layer *layer, int32_t sum, int32_t channel, int bits, enum nn_scheme scheme)
{
    if (scheme == NN_THRESHOLDS)
        return threshold_count(sum, layer->thresholds + channel * ((1 << bits) - 1), bits);
    if (scheme == NN_SHIFTS)
        return shifted(layer, sum, channel, bits);
    if (scheme == NN_PL_FB)
        return scaled(sum, layer->multiplier, layer->shift, layer->output_zero, bits);
    return scaled(sum, layer->multipliers[channel], layer->shifts[channel], layer->output_zero, bits);
}

#endif
