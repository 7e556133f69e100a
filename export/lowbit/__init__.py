"""Weights of 1 to 8 bits: quantisation, bit allocation, packed files and GPU kernels."""
