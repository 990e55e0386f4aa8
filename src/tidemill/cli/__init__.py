"""The command line: thin commands, a file a verb. They talk to the client only, and print.

Nothing heavy is imported before a command is known, so that `tidemill --help` is quick.
"""
