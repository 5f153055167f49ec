"""Calls that are wrong, a table for each topic: what is wrong -> the call, the exact type of the
error, and what its message has to say (a regular expression)."""
