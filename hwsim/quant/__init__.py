"""Number formats of quantized networks, integer inference, and how many bits each tensor gets.

    chain, assign, exact      a network as a chain of layers; bits by rules or by an exact optimiser; no numpy
    formats, icn, thresholds  codes and scales; how an accumulator becomes an output
    tqt                       power-of-two quantizers with trained thresholds, as plain formulas
    network, infer            an integer network and the golden function that runs it
    training                  the same in PyTorch: fake quantization, training, conversion to an integer network

docs/quantization.md is the guide.
"""
