/* Element-wise sum of two tensors with their own bits, zero points and scales:
 *
 *   bias[0] + (input - input_zero) * input_scale + (other - other_zero) * other_scale
 *
 * requantized like a layer of scheme pl_fb. Portable C.
 */
#include "kernels.h"
#include "quad.h"
#include "requantize.h"

INLINE void add(const struct nn_layer *layer, int in_bits, int out_bits, int other_bits)
{
    int32_t quads = layer->in_h * layer->in_w * layer->in_c >> 2;
    int32_t start = wrapping_add(layer->bias[0], wrapping_add(-layer->input_zero * layer->input_scale,
                                                              -layer->other_zero * layer->other_scale));
    const uint8_t *a = layer->input, *b = layer->other;
    uint8_t *out = layer->output;

    do {
        uint32_t left = quad_load(a, in_bits), right = quad_load(b, other_bits), packed = 0;
#pragma GCC unroll 4
        for (int i = 0; i < 4; i++) {
            int32_t products = wrapping_add(quad_value(left, i, in_bits) * layer->input_scale,
                                            quad_value(right, i, other_bits) * layer->other_scale);
            int32_t sum = wrapping_add(start, products);
            int32_t value = scaled(sum, layer->multiplier, layer->shift, layer->output_zero, out_bits);
            packed |= (uint32_t)value << (i * out_bits);
        }
        quad_store(out, packed, out_bits);
        a += QUAD_BYTES(in_bits);
        b += QUAD_BYTES(other_bits);
        out += QUAD_BYTES(out_bits);
    } while (--quads);
}

/* The same where the input has fewer channels than the other operand: those it lacks count as zero (the shortcut of a
 * block that adds channels). The input lacks a quad at least.
 */
INLINE void padded_add(const struct nn_layer *layer, int in_bits, int out_bits, int other_bits)
{
    int32_t pixels = layer->out_h * layer->out_w;
    int32_t alone = wrapping_add(layer->bias[0], -layer->other_zero * layer->other_scale);
    int32_t both = wrapping_add(alone, -layer->input_zero * layer->input_scale);
    const uint8_t *a = layer->input, *b = layer->other;
    uint8_t *out = layer->output;

    do {
        int32_t left = layer->in_c >> 2;
        do {
            uint32_t first = quad_load(a, in_bits), second = quad_load(b, other_bits), packed = 0;
#pragma GCC unroll 4
            for (int i = 0; i < 4; i++) {
                int32_t products = wrapping_add(quad_value(first, i, in_bits) * layer->input_scale,
                                                quad_value(second, i, other_bits) * layer->other_scale);
                int32_t sum = wrapping_add(both, products);
                int32_t value = scaled(sum, layer->multiplier, layer->shift, layer->output_zero, out_bits);
                packed |= (uint32_t)value << (i * out_bits);
            }
            quad_store(out, packed, out_bits);
            a += QUAD_BYTES(in_bits);
            b += QUAD_BYTES(other_bits);
            out += QUAD_BYTES(out_bits);
        } while (--left);
        left = (layer->out_c - layer->in_c) >> 2;
        do {
            uint32_t second = quad_load(b, other_bits), packed = 0;
#pragma GCC unroll 4
            for (int i = 0; i < 4; i++) {
                int32_t sum = wrapping_add(alone, quad_value(second, i, other_bits) * layer->other_scale);
                int32_t value = scaled(sum, layer->multiplier, layer->shift, layer->output_zero, out_bits);
                packed |= (uint32_t)value << (i * out_bits);
            }
            quad_store(out, packed, out_bits);
            b += QUAD_BYTES(other_bits);
            out += QUAD_BYTES(out_bits);
        } while (--left);
    } while (--pixels);
}

#define DEFINE(i, o, w) \
    KERNEL void add_u##i##_u##o##_u##w(const struct nn_layer *layer) \
    { \
        add(layer, i, o, w); \
    }
NN_EACH_ADD(DEFINE)

#define DEFINE_PADDED(i, o, w) \
    KERNEL void padded_add_u##i##_u##o##_u##w(const struct nn_layer *layer) \
    { \
        padded_add(layer, i, o, w); \
    }
NN_EACH_PADDED_ADD(DEFINE_PADDED)
