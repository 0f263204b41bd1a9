/* Quads: four neighbouring channels of a packed tensor, in 4 (8 bits), 2 (4 bits) or 1 (2 bits) bytes. */
#ifndef NN_QUAD_H
#define NN_QUAD_H

#include "isa.h"

/* Bytes of a quad. */
#define QUAD_BYTES(bits) ((bits) / 2)

/* The packed quad at `from`, in the low bits of a word. */
INLINE uint32_t quad_load(const uint8_t *from, int bits)
{
    return bits == 8 ? *(const word_t *)from : bits == 4 ? *(const half_t *)from : *from;
}

INLINE void quad_store(uint8_t *to, uint32_t quad, int bits)
{
    if (bits == 8)
        *(word_t *)to = quad;
    else if (bits == 4)
        *(half_t *)to = (uint16_t)quad;
    else
        *to = (uint8_t)quad;
}

/* Value `channel` of a packed quad. */
INLINE int32_t quad_value(uint32_t quad, int channel, int bits)
{
    return (int32_t)((quad >> (channel * bits)) & ((1u << bits) - 1));
}

/* A packed quad spread to four bytes. */
INLINE uint32_t quad_bytes(uint32_t quad, int bits)
{
    if (bits == 4) {
        quad = (quad | quad << 8) & 0x00FF00FF;
        quad = (quad | quad << 4) & 0x0F0F0F0F;
    }
    if (bits == 2) {
        quad = (quad | quad << 12) & 0x000F000F;
        quad = (quad | quad << 6) & 0x03030303;
    }
    return quad;
}

#if NN_DSP
/* The values 0 and 2, then 1 and 3, of a packed quad as halfwords. */
INLINE void quad_pairs(uint32_t quad, int bits, uint32_t *even, uint32_t *odd)
{
    uint32_t mask = bits == 4 ? 0x000F000F : 0x00030003;
    uint32_t spread = quad | quad << (16 - 2 * bits);
    *even = bits == 8 ? uxtb16(quad) : spread & mask;
    *odd = bits == 8 ? uxtb16_ror8(quad) : spread >> bits & mask;
}
#endif

#endif
