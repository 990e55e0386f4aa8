"""Figures over many spans: time series, quantiles and totals by any dimension, and two of them compared."""
