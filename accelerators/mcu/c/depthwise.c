/* Depthwise convolution: the window of one pixel as bytes, then four channels at a time. Weights are stored like an
 * activation of kernel_h x kernel_w pixels.
 */
#include "kernels.h"
#include "quad.h"
#include "requantize.h"

#if NN_DSP

/* Channels 0 to 3 of two taps, as (first tap, second tap) pairs of halfwords. */
INLINE void tap_pairs(uint32_t a, uint32_t b, int bits, uint32_t pairs[4])
{
    if (bits == 8) {
        uint32_t low = pkhbt(a, b), high = pkhtb(a, b);
        pairs[0] = uxtb16(low);
        pairs[1] = uxtb16_ror8(low);
        pairs[2] = uxtb16(high);
        pairs[3] = uxtb16_ror8(high);
    } else {
        uint32_t both = pkhbt(a, b), mask = bits == 4 ? 0x000F000F : 0x00030003;
#pragma GCC unroll 4
        for (int channel = 0; channel < 4; channel++)
            pairs[channel] = both >> (channel * bits) & mask;
    }
}

INLINE void two_taps(const uint8_t *x, int32_t x_stride, const uint8_t *w, int32_t w_stride, int32_t zero,
                     const int32_t zeros[4], int32_t sums[4], int bits)
{
    uint32_t values[4], weights[4];
    tap_pairs(quad_load(x, 8), quad_load(x + x_stride, 8), 8, values);
    tap_pairs(quad_load(w, bits), quad_load(w + w_stride, bits), bits, weights);
#pragma GCC unroll 4
    for (int channel = 0; channel < 4; channel++)
        sums[channel] = smlad(ssub16(values[channel], (uint32_t)zero * 0x00010001u),
                              ssub16(weights[channel], (uint32_t)zeros[channel] * 0x00010001u), sums[channel]);
}

#endif

INLINE void one_tap(const uint8_t *x, const uint8_t *w, int32_t zero, const int32_t zeros[4], int32_t sums[4], int bits)
{
#pragma GCC unroll 4
    for (int channel = 0; channel < 4; channel++) {
        int32_t weight = quad_value(w[channel * bits / 8], channel % (8 / bits), bits);
        sums[channel] = wrapping_add(sums[channel], (x[channel] - zero) * (weight - zeros[channel]));
    }
}

/* All taps of one quad of channels. */
INLINE void all_taps(const uint8_t *x, int32_t x_stride, const uint8_t *w, int32_t w_stride, int32_t taps, int32_t zero,
                     const int32_t zeros[4], int32_t sums[4], int bits)
{
#if NN_DSP
    for (; taps > 1; taps -= 2) {
        two_taps(x, x_stride, w, w_stride, zero, zeros, sums, bits);
        x += 2 * x_stride;
        w += 2 * w_stride;
    }
    if (taps)
        one_tap(x, w, zero, zeros, sums, bits);
#else
    do {
        one_tap(x, w, zero, zeros, sums, bits);
        x += x_stride;
        w += w_stride;
    } while (--taps);
#endif
}

/* One output pixel from the window in `columns`. */
INLINE void pixel(const struct nn_layer *layer, uint8_t *out, int weight_bits, int out_bits, enum nn_scheme scheme)
{
    int per_channel = !NN_ONE_ZERO(scheme);
    int32_t taps = layer->kernel_h * layer->kernel_w, zero = layer->input_zero, channel = 0;
    int32_t w_stride = (layer->out_c >> 2) * QUAD_BYTES(weight_bits);
    const uint8_t *x = layer->columns, *w = layer->weights;

    do {
        int32_t sums[4], zeros[4];
        uint32_t packed = 0;
#pragma GCC unroll 4
        for (int i = 0; i < 4; i++) {
            sums[i] = NN_STARTS_AT_0(scheme) ? 0 : layer->bias[channel + i];
            zeros[i] = per_channel ? layer->weight_zeros[channel + i] : layer->weight_zero;
        }
        all_taps(x, layer->out_c, w, w_stride, taps, zero, zeros, sums, weight_bits);
#pragma GCC unroll 4
        for (int i = 0; i < 4; i++)
            packed |= (uint32_t)requantize(layer, sums[i], channel + i, out_bits, scheme) << (i * out_bits);
        quad_store(out, packed, out_bits);
        x += 4;
        w += QUAD_BYTES(weight_bits);
        out += QUAD_BYTES(out_bits);
        channel += 4;
    } while (channel < layer->out_c);
}

#define DEFINE_PIXEL(w, o, name, scheme) \
    KERNEL void taps_w##w##_u##o##_##name(const struct nn_layer *layer, uint8_t *out) \
    { \
        pixel(layer, out, w, o, scheme); \
    }
NN_EACH_PRODUCT(DEFINE_PIXEL)

typedef int32_t window_fn(const struct nn_layer *, int32_t y, int32_t x, uint8_t *to);
typedef void taps_fn(const struct nn_layer *, uint8_t *out);

INLINE void depthwise(const struct nn_layer *layer, window_fn *window, taps_fn *taps, int out_bits)
{
    int32_t y = -layer->pad_top, rows = layer->out_h, pixel_bytes = (layer->out_c >> 2) * QUAD_BYTES(out_bits);
    uint8_t *out = layer->output;

    do {
        int32_t x = -layer->pad_left, left = layer->out_w;
        do {
            window(layer, y, x, layer->columns);
            taps(layer, out);
            out += pixel_bytes;
            x += layer->stride_w;
        } while (--left);
        y += layer->stride_h;
    } while (--rows);
}

#define DEFINE(i, w, o, name, scheme) \
    KERNEL void depthwise_u##i##_u##o##_u##w##_##name(const struct nn_layer *layer) \
    { \
        depthwise(layer, window_u##i, taps_w##w##_u##o##_##name, o); \
    }
NN_EACH_LAYER(DEFINE)
