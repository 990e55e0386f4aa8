"""The servers that counters can be kept in, a file each."""
