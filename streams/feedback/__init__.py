"""What people say of matches: find the match, check what is said of it, keep it, and learn from it."""
