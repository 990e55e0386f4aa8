"""Projects that `tidemill init` writes, a folder each.

Files here are copied as they are; `gitignore` becomes `.gitignore`, and Python files carry `.txt` here, because they are no
part of this package.
"""
