"""What the routes answer, as types: for the document that describes them, and a test that holds real answers to it.

They are not used to check or to change an answer while it is made. `table.py` says which route answers which.
"""
