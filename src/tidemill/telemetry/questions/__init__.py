"""What is asked of stored traces: lists, trees, search, sessions, users, export and tail; scores that come late."""
