"""Tuning a model that runs here: specs, training data and its checks, one file a method, and the trainer's process.

Models are served by `models/`; what is trained is told to it as an artifact. Torch is imported by the trainer's process only.
"""
