"""The dialects in which the data plane is spoken to: for each, one file that reads requests and one that writes answers.

They share `ChatCall` for a request, `Answer` for an answer and `ChatDelta` for a piece of a stream; how a request is
resolved, traced and answered is not known here.
"""
