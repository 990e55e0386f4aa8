"""Sums by minute, hour and user that are made anew where spans came or went."""
