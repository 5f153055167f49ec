"""Chats about a photograph."""
