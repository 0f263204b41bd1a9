/* A deployed network on a core: its own check, then how many bytes were wrong and the first output, for all to see. */
#include "layer.h"
#include "network.h"

void deployed(const struct nn_layer *layer)
{
    uint8_t *out = layer->output;
    *(int32_t *)layer->output = network_check();
    for (int32_t i = 0; i < NETWORK_OUTPUT_BYTES; i++)
        out[4 + i] = NETWORK_OUTPUT[i];
}
