/* The instruction sets. What differs between them stands here and nowhere else:
 *
 *   NN_DSP     ARMv7E-M with the DSP extension (Cortex-M4, M7): pairs of halfwords, SMLAD
 *   NN_XPULP   RV32IM with the dot products of CV32E40P: four bytes at a time (GNU as lacks the mnemonics: .insn)
 *   neither    plain C, for RV32IM and everything else
 *
 * Columns (the buffer that im2col fills) hold halfwords with the zero point subtracted, or, with XPULP, the bytes as
 * they are. In halfword columns a quad stands in the order 0, 2, 1, 3, which is how UXTB16 splits a word.
 */
#ifndef NN_ISA_H
#define NN_ISA_H

#include <stdint.h>

#define INLINE static inline __attribute__((always_inline))
#define KERNEL __attribute__((noipa)) /* its code depends on nothing but its own source, so it can be counted once */

#if !defined(__BYTE_ORDER__) || __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error tensors and weights are packed for little-endian cores
#endif

/* Packed tensors are read in whole words; GCC lets these types alias whatever the array was declared as. */
typedef uint32_t __attribute__((may_alias)) word_t;
typedef uint16_t __attribute__((may_alias)) half_t;
typedef int16_t __attribute__((may_alias)) short_t;

#if defined(__ARM_FEATURE_DSP)
#define NN_DSP 1
#else
#define NN_DSP 0
#endif

#if !defined(NN_XPULP)
#define NN_XPULP 0
#endif

#define NN_BYTE_COLUMNS NN_XPULP

#if NN_DSP

/* Zero-extended bytes 0 and 2. */
INLINE uint32_t uxtb16(uint32_t x)
{
    uint32_t r;
    __asm__("uxtb16 %0, %1" : "=r"(r) : "r"(x));
    return r;
}

/* Zero-extended bytes 1 and 3. */
INLINE uint32_t uxtb16_ror8(uint32_t x)
{
    uint32_t r;
    __asm__("uxtb16 %0, %1, ror #8" : "=r"(r) : "r"(x));
    return r;
}

/* The low halfwords of a and b, b on top. */
INLINE uint32_t pkhbt(uint32_t a, uint32_t b)
{
    uint32_t r;
    __asm__("pkhbt %0, %1, %2, lsl #16" : "=r"(r) : "r"(a), "r"(b));
    return r;
}

/* The high halfwords of a and b, b on top. */
INLINE uint32_t pkhtb(uint32_t a, uint32_t b)
{
    uint32_t r;
    __asm__("pkhtb %0, %1, %2, asr #16" : "=r"(r) : "r"(b), "r"(a));
    return r;
}

/* Two halfword differences. */
INLINE uint32_t ssub16(uint32_t a, uint32_t b)
{
    uint32_t r;
    __asm__("ssub16 %0, %1, %2" : "=r"(r) : "r"(a), "r"(b));
    return r;
}

/* sum + a.low * b.low + a.high * b.high, halfwords signed. */
INLINE int32_t smlad(uint32_t a, uint32_t b, int32_t sum)
{
    int32_t r;
    __asm__("smlad %0, %1, %2, %3" : "=r"(r) : "r"(a), "r"(b), "r"(sum));
    return r;
}

/* v clamped to 0 .. 2^bits - 1. */
INLINE int32_t clamp_bits(int32_t v, int bits)
{
    int32_t r;
    __asm__("usat %0, %1, %2" : "=r"(r) : "I"(bits), "r"(v));
    return r;
}

/* v clamped to 16 bits with a sign. */
INLINE int32_t clamp_16(int32_t v)
{
    int32_t r;
    __asm__("ssat %0, #16, %1" : "=r"(r) : "r"(v));
    return r;
}

#else

/* v clamped to 0 .. 2^bits - 1, without a branch: the number of instructions must not depend on the data. */
INLINE int32_t clamp_bits(int32_t v, int bits)
{
    int32_t max = (1 << bits) - 1;
    v &= ~(v >> 31);
    return (v | ((max - v) >> 31)) & max;
}

/* v, below 2^31 - 2^15, clamped to 16 bits with a sign. */
INLINE int32_t clamp_16(int32_t v)
{
    return clamp_bits(v + 0x8000, 16) - 0x8000;
}

#endif

#if NN_XPULP
/* cv.sdotup.b: sum + the products of four unsigned bytes. */
INLINE uint32_t sdotup_b(uint32_t a, uint32_t b, uint32_t sum)
{
    __asm__(".insn r 0x7b, 1, 0x4c, %0, %1, %2" : "+r"(sum) : "r"(a), "r"(b));
    return sum;
}
#endif

/* `mask` in a register: as a constant GCC would shift and mask in two instructions instead of one. */
INLINE uint32_t in_register(uint32_t mask)
{
    __asm__("" : "+r"(mask));
    return mask;
}

/* Sums wrap at 32 bits like the registers they live in; signed overflow would be undefined. */
INLINE int32_t wrapping_add(int32_t a, int32_t b)
{
    return (int32_t)((uint32_t)a + (uint32_t)b);
}

INLINE int32_t wrapping_multiply(int32_t a, int32_t b)
{
    return (int32_t)((uint32_t)a * (uint32_t)b);
}

/* High word of the signed product. */
INLINE int32_t multiply_high(int32_t a, int32_t b)
{
    return (int32_t)(((int64_t)a * b) >> 32);
}

/* v if positive, else 0, without a branch. */
INLINE int32_t positive(int32_t v)
{
    return v & ~(v >> 31);
}

#endif
