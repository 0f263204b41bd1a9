"""SkyNet (arXiv 1909.09709): the detector, its fixed-point numbers, and the engine that runs it."""
