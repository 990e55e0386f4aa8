"""Datasets, documents, chunks, indexes and search over them.

Here: reading rows and documents, cutting documents into chunks, building an index and searching it. File formats, connectors
and the engines that hold vectors and words are in `providers/`. Not here: asking a model (`models/`) and a chain's retrieve
step (`flows/`).
"""
