/* A plain dot product of `in_c` signed bytes: two arrays read in step, which a cache with one way may not bear. */
#include "layer.h"

void dot(const struct nn_layer *layer)
{
    const int8_t *a = layer->input, *b = layer->other;
    int32_t sum = 0;
    for (int32_t i = 0; i < layer->in_c; i++)
        sum += a[i] * b[i];
    *(int32_t *)layer->output = sum;
}
