/* One quantized layer as the kernels see it. Whoever generates code fills this structure and the arrays it points to.
 *
 * Tensors are HWC, unsigned, `bits` of 8, 4 or 2 a value, packed from the least significant bit up, without gaps. The
 * number of channels is a multiple of four, so that a quad (four neighbouring channels of one pixel) fills 4, 2 or 1
 * whole bytes. Signed weights are stored with 2^(bits-1) added and that number as their zero point. Every array is
 * aligned to four bytes.
 */
#ifndef NN_LAYER_H
#define NN_LAYER_H

#include <stdint.h>

struct nn_layer {
    const void *input;            /* in_h x in_w x in_c */
    const void *other;            /* sums: the second operand, out_h x out_w x out_c */
    const void *weights;          /* packed by accelerators/mcu/kernels.py: pack_weights */
    void *output;                 /* out_h x out_w x out_c */
    void *columns;                /* scratch: accelerators/mcu/kernels.py: columns_bytes */
    const int32_t *bias;          /* out_c */
    const int32_t *multipliers;   /* out_c, Q1.31: schemes with icn */
    const int8_t *shifts;         /* out_c, right shift, negative to the left: schemes with icn */
    const uint8_t *weight_zeros;  /* out_c: pc_icn and thresholds */
    union {
        const int16_t *thresholds;  /* out_c x (2^output bits - 1), ascending: scheme thresholds */
        const int16_t *offsets;     /* out_c, added between the two shifts: scheme shifts */
    };
    int32_t in_h, in_w, in_c, out_h, out_w, out_c;
    int32_t kernel_h, kernel_w, stride_h, stride_w, pad_top, pad_left;
    int32_t input_zero, weight_zero, output_zero;
    union {
        int32_t multiplier;       /* of the whole layer: pl_fb and sums */
        int32_t out_shift;        /* scheme shifts: right shift behind the offset, -14 to 30, negative to the left */
    };
    int32_t shift;                /* of the whole layer: pl_fb and sums; scheme shifts: right shift to 16 bits, 0 to 16 */
    int32_t other_zero, input_scale, other_scale;  /* nn_add */
};

/* How a sum becomes an output. */
enum nn_scheme {
    NN_PL_FB,      /* per layer: one multiplier and shift, batch normalization folded into weights and bias */
    NN_PL_ICN,     /* weights per layer, multiplier and shift per channel */
    NN_PC_ICN,     /* weight zero point, multiplier and shift per channel */
    NN_THRESHOLDS, /* weight zero point per channel; the output is the number of thresholds not above the sum */
    NN_SHIFTS      /* every scale a power of two: shift to 16 bits, offset per channel, shift; |sum| below 2^30 - 2^16 */
};

#endif
