"""OPTIMUS (MLSys 2020, pp. 363-378): single-batch Transformer inference on sparse weights."""
