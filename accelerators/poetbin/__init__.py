"""PoET-BiN (arXiv 2002.09794): classifiers made of look-up tables, trained as boosted trees of binary features."""
