/* Runs one layer as often as there are descriptions of it, each call between two stamps, and ends the run.
 *
 * What it works on stands behind the first instruction: how many calls, and where the first `struct nn_layer` lies; the
 * others follow. KERNEL is the C function that computes the layer. Between the stamps stand the call and nothing else.
 */
#define BEGIN 0
#define END 4
#define DONE 8
#define LAYER_BYTES 120

    .section .start, "ax"
    .globl _start
_start:
    j setup
calls:
    .word 0
layer:
    .word 0
setup:
    li sp, STACK
    li s0, 0xF0000000
    lw s1, calls
    lw s2, layer
again:
    mv a0, s2
    sw s1, BEGIN(s0)
    call KERNEL
    sw s1, END(s0)
    addi s2, s2, LAYER_BYTES
    addi s1, s1, -1
    bnez s1, again
    sw zero, DONE(s0)
wait:
    j wait
